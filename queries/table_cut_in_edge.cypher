// Deletes the edges of one of the user's tables that lead to a node.
// for: user table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<target> {<target_key>: $key_})<-[r:<table>]-(:<source>)
DELETE r
RETURN count(*) AS done
