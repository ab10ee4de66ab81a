// Some nodes of one of the user's tables, those that there are.
// for: user table
// takes: $keys LIST
// gives: key STRING
UNWIND $keys AS key_
MATCH (n:<table>) WHERE n.<key> = key_
RETURN n.<key> AS key<columns>
