// How many nodes one table has.
// for: node table
// gives: nodes INT64
MATCH (n:<table>)
RETURN count(*) AS nodes
