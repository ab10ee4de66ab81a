// The key of every node of a table, by its place.
// gives: place INT64
// gives: key STRING
MATCH (n:`<name>`) RETURN offset(id(n)) AS place, n.`<key>` AS key
