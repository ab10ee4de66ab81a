// Notes of the edges of the past that go out from a node that what was known is known no more from a moment on.
// for: user table
// takes: $key_ STRING
// takes: $at_ TIMESTAMP
// gives: done INT64
MATCH (n:<source> {<source_key>: $key_})-[r:<table>]->(:<target>)
WHERE r.known_to IS NULL
SET r.known_to = $at_
RETURN count(*) AS done
