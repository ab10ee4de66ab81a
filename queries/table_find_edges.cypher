// Between which of many pairs of nodes a table has edges, once for each of them.
// for: user table
// takes: $rows TABLE
// gives: place INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.<source_key> = source_
MATCH (b:<target>) WHERE b.<target_key> = target_
MATCH (a)-[r:<table>]->(b)
RETURN place_ AS place
