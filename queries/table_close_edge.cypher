// Notes of what is known of the edges from one node to another that it is known no more from a moment on.
// for: user table
// takes: $source_ STRING
// takes: $target_ STRING
// takes: $at_ TIMESTAMP
// gives: done INT64
MATCH (a:<source> {<source_key>: $source_})-[r:<table>]->(b:<target> {<target_key>: $target_})
WHERE r.known_to IS NULL
SET r.known_to = $at_
RETURN count(*) AS done
