// Sets the same columns of many edges.
// for: rel table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.key = source_
MATCH (b:<target>) WHERE b.key = target_
MATCH (a)-[r:<table><which>]->(b)
<settings>
RETURN count(*) AS done
