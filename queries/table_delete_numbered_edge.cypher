// Deletes one edge of those from one node to another, by its number within the table.
// for: user table
// takes: $source_ STRING
// takes: $target_ STRING
// takes: $edge_ INT64
// gives: done INT64
MATCH (a:<source> {<source_key>: $source_})-[r:<table>]->(b:<target> {<target_key>: $target_})
WHERE offset(id(r)) = $edge_
DELETE r
RETURN count(*) AS done
