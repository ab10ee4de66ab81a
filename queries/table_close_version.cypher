// Notes of the version of a node that begins to hold at a moment, or is open, that it is known no more from another on.
// for: user table
// takes: $key_ STRING
// takes: $from_ TIMESTAMP
// takes: $open_ BOOL
// takes: $at_ TIMESTAMP
// gives: done INT64
MATCH (n:<source> {<source_key>: $key_})-[r:<table>]->(:<target>)
WHERE r.known_to IS NULL AND (($open_ AND r.valid_from IS NULL) OR (NOT $open_ AND r.valid_from = $from_))
SET r.known_to = $at_
RETURN count(*) AS done
