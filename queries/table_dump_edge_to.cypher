// An edge of one of the user's tables that comes in to one of the nodes of a group, and its number: see
// `dump_edge_from`.
// for: user table
// takes: $first INT64
// takes: $beyond INT64
// gives: source STRING
// gives: target STRING
// gives: edge INT64
MATCH (a:<source>)-[r:<table>]->(b:<target>) WHERE offset(id(b)) >= $first AND offset(id(b)) < $beyond
RETURN a.<source_key> AS source, b.<target_key> AS target, offset(id(r)) AS edge<columns>
LIMIT 1
