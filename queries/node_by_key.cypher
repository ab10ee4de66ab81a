// One node of one table, if there is one: found by its index, where `nodes_by_key` reads the table on Kuzu.
// for: node table
// takes: $key_ STRING
// gives: key STRING
MATCH (n:<table> {key: $key_})
RETURN n.key AS key<columns>
