// The keys of the nodes of a table that lie at these places.
// takes: $places INT64[]
// gives: place INT64
// gives: key STRING
MATCH (n:`<name>`) WHERE offset(id(n)) IN $places RETURN offset(id(n)) AS place, n.`<key>` AS key
