// Notes of the edges between many pairs of nodes that what was known of them is known no more from a moment on.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.<source_key> = source_
MATCH (b:<target>) WHERE b.<target_key> = target_
MATCH (a)-[r:<table>]->(b) WHERE r.known_to IS NULL
SET r.known_to = at_
RETURN count(*) AS done
