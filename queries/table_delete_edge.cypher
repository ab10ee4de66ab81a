// Deletes the edges from one node to another.
// for: user table
// takes: $source_ STRING
// takes: $target_ STRING
// gives: done INT64
MATCH (a:<source> {<source_key>: $source_})-[r:<table>]->(b:<target> {<target_key>: $target_})
DELETE r
RETURN count(*) AS done
