// The edges of one table that come in to some nodes: what a traversal asks for where the adjacency isn't in memory.
// for: rel table
// takes: $keys STRING[]
// gives: source STRING
// gives: target STRING
UNWIND $keys AS key_
MATCH (b:<target>) WHERE b.key = key_
MATCH (b)<-[r:<table>]-(a:<source>)
RETURN a.key AS source, b.key AS target<columns>
