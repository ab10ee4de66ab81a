// Deletes the edges of one table that go out from a node. Nodes are deleted after all their edges: Kuzu replays
// DETACH DELETE wrong after a kill, and then lacks other edges.
// for: rel table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<source> {key: $key_})-[r:<table>]->()
DELETE r
RETURN count(*) AS done
