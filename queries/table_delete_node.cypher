// Deletes a node that has no edges any more.
// for: user table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<table> {<key>: $key_})
DELETE n
RETURN count(*) AS done
