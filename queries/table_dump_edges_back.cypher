// Every edge of one of the user's tables, read from the nodes that they lead to; see `dump_edges_back`.
// for: user table
// gives: source STRING
// gives: target STRING
MATCH (a:<source>)-[r:<table>]->(b:<target>) HINT (b JOIN r) JOIN a
RETURN a.<source_key> AS source, b.<target_key> AS target<columns>
