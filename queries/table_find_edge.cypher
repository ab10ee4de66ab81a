// How many edges of a table lead from one node to another.
// for: user table
// takes: $source_ STRING
// takes: $target_ STRING
// gives: found INT64
MATCH (a:<source> {<source_key>: $source_})-[r:<table>]->(b:<target> {<target_key>: $target_})
RETURN count(*) AS found
