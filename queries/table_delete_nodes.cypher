// Deletes nodes that have no edges any more.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (n:<table>) WHERE n.<key> = key_
DELETE n
RETURN count(*) AS done
