// The same of many versions; see `table_close_version`.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (n:<source>) WHERE n.<source_key> = key_
MATCH (n)-[r:<table>]->(:<target>)
WHERE r.known_to IS NULL AND ((open_ AND r.valid_from IS NULL) OR (NOT open_ AND r.valid_from = from_))
SET r.known_to = at_
RETURN count(*) AS done
