// Copies the edges between many pairs of nodes into the table of the past, known from a moment on.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.<source_key> = source_
MATCH (b:<target>) WHERE b.<target_key> = target_
MATCH (a)-[r:<table>]->(b)
MATCH (c:<past_source>) WHERE c.<source_key> = source_
MATCH (d:<past_target>) WHERE d.<target_key> = target_
CREATE (c)-[k:<past> {<copied>}]->(d)
SET k.known_from = at_
RETURN count(*) AS done
