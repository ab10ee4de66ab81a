// Every node of one table.
// for: node table
// gives: key STRING
MATCH (n:<table>)
RETURN n.key AS key<columns>
