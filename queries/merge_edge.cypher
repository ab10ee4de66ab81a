// Gives one edge new values, or makes it if it isn't there. Its parameters are the two keys and the columns.
// for: rel table
// takes: $source_ STRING
// takes: $target_ STRING
// gives: done INT64
MATCH (a:<source> {key: $source_}), (b:<target> {key: $target_})
MERGE (a)-[r:<table><which>]->(b) <settings>
RETURN count(*) AS done
