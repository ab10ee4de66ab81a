// Deletes one node that has no edges any more; with edges it is an error.
// for: node table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<table> {key: $key_})
DELETE n
RETURN count(*) AS done
