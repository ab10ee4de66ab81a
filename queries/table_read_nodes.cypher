// The key and some columns of many nodes.
// for: user table
// takes: $rows TABLE
// gives: key STRING
LOAD FROM $rows
MATCH (n:<table>) WHERE n.<key> = key_
RETURN n.<key> AS key<columns>
