// How many edges a table of any kind has.
// gives: count INT64
MATCH ()-[r:`<name>`]->() RETURN count(*) AS count
