// Deletes the edges of one of the user's tables that lead to many nodes.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (n:<target>) WHERE n.<target_key> = key_
MATCH (n)<-[r:<table>]-(:<source>)
DELETE r
RETURN count(*) AS done
