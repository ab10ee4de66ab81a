// Sets columns of many nodes.
// for: user table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (n:<table>) WHERE n.<key> = key_
<settings>
RETURN count(*) AS done
