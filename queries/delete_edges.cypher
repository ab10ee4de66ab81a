// Deletes edges by their ends; those that aren't there are passed over.
// for: rel table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.key = source_
MATCH (b:<target>) WHERE b.key = target_
MATCH (a)-[r:<table><which>]->(b)
DELETE r
RETURN count(*) AS done
