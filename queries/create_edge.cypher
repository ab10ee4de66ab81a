// Creates one edge between nodes that exist. Its parameters are the two keys and the columns of its table.
// for: rel table
// takes: $source_ STRING
// takes: $target_ STRING
// gives: done INT64
MATCH (a:<source> {key: $source_}), (b:<target> {key: $target_})
CREATE (a)-[r:<table> {<columns>}]->(b)
RETURN count(*) AS done
