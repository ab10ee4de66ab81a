// An edge of one table that comes in to one of the nodes of a group, whichever comes first: see `dump_edge_from`.
// for: rel table
// takes: $first INT64
// takes: $beyond INT64
// gives: source STRING
// gives: target STRING
MATCH (a:<source>)-[r:<table>]->(b:<target>) WHERE offset(id(b)) >= $first AND offset(id(b)) < $beyond
RETURN a.key AS source, b.key AS target<columns>
LIMIT 1
