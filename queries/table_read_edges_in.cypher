// The edges of one of the user's tables that come in to some nodes.
// for: user table
// takes: $keys LIST
// gives: source STRING
// gives: target STRING
UNWIND $keys AS key_
MATCH (b:<target>) WHERE b.<target_key> = key_
MATCH (b)<-[r:<table>]-(a:<source>)
RETURN a.<source_key> AS source, b.<target_key> AS target<columns>
