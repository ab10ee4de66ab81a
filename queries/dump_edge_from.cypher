// An edge of one table that goes out from one of the nodes of a group, whichever comes first. Kuzu numbers the nodes of
// a table, and puts 131,072 into a group.
// for: rel table
// takes: $first INT64
// takes: $beyond INT64
// gives: source STRING
// gives: target STRING
MATCH (a:<source>)-[r:<table>]->(b:<target>) WHERE offset(id(a)) >= $first AND offset(id(a)) < $beyond
RETURN a.key AS source, b.key AS target<columns>
LIMIT 1
