// How many nodes one of the user's tables has.
// for: user table
// gives: nodes INT64
MATCH (n:<table>)
RETURN count(*) AS nodes
