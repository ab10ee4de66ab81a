// The edges of one of the user's tables that go out from some nodes.
// for: user table
// takes: $keys LIST
// gives: source STRING
// gives: target STRING
UNWIND $keys AS key_
MATCH (a:<source>) WHERE a.<source_key> = key_
MATCH (a)-[r:<table>]->(b:<target>)
RETURN a.<source_key> AS source, b.<target_key> AS target<columns>
