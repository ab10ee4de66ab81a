// Every edge of one of the user's tables, read from the nodes that they come from.
// for: user table
// gives: source STRING
// gives: target STRING
MATCH (a:<source>)-[r:<table>]->(b:<target>) HINT (a JOIN r) JOIN b
RETURN a.<source_key> AS source, b.<target_key> AS target<columns>
