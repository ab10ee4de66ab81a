// Sets columns of one node. Its parameters are those columns, and the key.
// for: node table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<table> {key: $key_})
<settings>
RETURN count(*) AS done
