// Every edge of one table, read from the nodes that they come from.
// for: rel table
// gives: source STRING
// gives: target STRING
MATCH (a:<source>)-[r:<table>]->(b:<target>) HINT (a JOIN r) JOIN b
RETURN a.key AS source, b.key AS target<columns>
