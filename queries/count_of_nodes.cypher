// How many nodes a table of any kind has.
// gives: count INT64
MATCH (n:`<name>`) RETURN count(*) AS count
