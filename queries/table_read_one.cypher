// One node of one of the user's tables, if there is one: found by its index.
// for: user table
// takes: $key_ STRING
// gives: key STRING
MATCH (n:<table> {<key>: $key_})
RETURN n.<key> AS key<columns>
