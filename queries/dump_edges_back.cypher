// Every edge of one table, read from the nodes that they lead to: engines keep each edge twice, and where those two
// differ, answers depend on the way that a query takes.
// for: rel table
// gives: source STRING
// gives: target STRING
MATCH (a:<source>)-[r:<table>]->(b:<target>) HINT (b JOIN r) JOIN a
RETURN a.key AS source, b.key AS target<columns>
