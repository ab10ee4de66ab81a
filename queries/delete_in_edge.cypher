// Deletes the edges of one table that come in to a node.
// for: rel table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<target> {key: $key_})<-[r:<table>]-()
DELETE r
RETURN count(*) AS done
