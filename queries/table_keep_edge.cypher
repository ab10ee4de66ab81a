// Copies the edges from one node to another into the table of the past, known from a moment on.
// for: user table
// takes: $source_ STRING
// takes: $target_ STRING
// takes: $at_ TIMESTAMP
// gives: done INT64
MATCH (a:<source> {<source_key>: $source_})-[r:<table>]->(b:<target> {<target_key>: $target_})
MATCH (c:<past_source> {<source_key>: $source_}), (d:<past_target> {<target_key>: $target_})
CREATE (c)-[k:<past> {<copied>}]->(d)
SET k.known_from = $at_
RETURN count(*) AS done
