// Sets columns of one edge. Its parameters are the two keys, those columns, and its own key where edges may be parallel.
// for: rel table
// takes: $source_ STRING
// takes: $target_ STRING
// gives: done INT64
MATCH (a:<source> {key: $source_})-[r:<table><which>]->(b:<target> {key: $target_})
<settings>
RETURN count(*) AS done
