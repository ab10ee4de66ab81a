// Deletes the edges of one table that come in to many nodes.
// for: rel table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (n:<target>) WHERE n.key = key_
MATCH (n)<-[r:<table>]-()
DELETE r
RETURN count(*) AS done
