// Deletes the edges of one of the user's tables that go out from many nodes.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (n:<source>) WHERE n.<source_key> = key_
MATCH (n)-[r:<table>]->(:<target>)
DELETE r
RETURN count(*) AS done
