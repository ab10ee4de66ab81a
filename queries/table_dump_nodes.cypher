// Every node of one of the user's tables.
// for: user table
// gives: key STRING
MATCH (n:<table>)
RETURN n.<key> AS key<columns>
