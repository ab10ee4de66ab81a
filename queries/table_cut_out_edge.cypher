// Deletes the edges of one of the user's tables that go out from a node; see `delete_out_edge`.
// for: user table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<source> {<source_key>: $key_})-[r:<table>]->(:<target>)
DELETE r
RETURN count(*) AS done
