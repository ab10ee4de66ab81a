// The edges of one table that go out from some nodes: what a traversal asks for where the adjacency isn't in memory.
// for: rel table
// takes: $keys STRING[]
// gives: source STRING
// gives: target STRING
UNWIND $keys AS key_
MATCH (a:<source>) WHERE a.key = key_
MATCH (a)-[r:<table>]->(b:<target>)
RETURN a.key AS source, b.key AS target<columns>
