// The versions of a node of one of the user's temporal tables that are known now.
// for: user table
// takes: $key_ STRING
// gives: key STRING
MATCH (n:<source> {<source_key>: $key_})-[r:<table>]->(:<target>)
WHERE r.known_to IS NULL
RETURN n.<source_key> AS key<columns>
