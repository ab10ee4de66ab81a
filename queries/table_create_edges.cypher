// Creates edges between nodes that exist; see `create_edges`.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.<source_key> = source_
MATCH (b:<target>) WHERE b.<target_key> = target_
CREATE (a)-[r:<table> {<columns>}]->(b)
RETURN count(*) AS done
