// Deletes the edges between many pairs of nodes.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.<source_key> = source_
MATCH (b:<target>) WHERE b.<target_key> = target_
MATCH (a)-[r:<table>]->(b)
DELETE r
RETURN count(*) AS done
