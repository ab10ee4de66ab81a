// Some nodes of one table, those that there are.
// for: node table
// takes: $keys STRING[]
// gives: key STRING
UNWIND $keys AS key_
MATCH (n:<table>) WHERE n.key = key_
RETURN n.key AS key<columns>
