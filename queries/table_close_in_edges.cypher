// Notes of the edges of the past that lead to many nodes that what was known is known no more from a moment on.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (n:<target>) WHERE n.<target_key> = key_
MATCH (n)<-[r:<table>]-(:<source>) WHERE r.known_to IS NULL
SET r.known_to = at_
RETURN count(*) AS done
