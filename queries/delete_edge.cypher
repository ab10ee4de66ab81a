// Deletes one edge by its ends, if it is there.
// for: rel table
// takes: $source_ STRING
// takes: $target_ STRING
// gives: done INT64
MATCH (a:<source> {key: $source_})-[r:<table><which>]->(b:<target> {key: $target_})
DELETE r
RETURN count(*) AS done
