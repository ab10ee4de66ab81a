// The versions of many nodes of one of the user's temporal tables that are known now.
// for: user table
// takes: $rows TABLE
// gives: key STRING
LOAD FROM $rows
MATCH (n:<source>) WHERE n.<source_key> = key_
MATCH (n)-[r:<table>]->(:<target>) WHERE r.known_to IS NULL
RETURN n.<source_key> AS key<columns>
