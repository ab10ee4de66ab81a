// Creates an edge between nodes that exist.
// for: user table
// takes: $source_ STRING
// takes: $target_ STRING
// gives: done INT64
MATCH (a:<source> {<source_key>: $source_})
MATCH (b:<target> {<target_key>: $target_})
CREATE (a)-[r:<table> {<columns>}]->(b)
RETURN count(*) AS done
