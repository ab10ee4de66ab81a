// Sets columns of a node.
// for: user table
// takes: $key_ STRING
// gives: done INT64
MATCH (n:<table> {<key>: $key_})
<settings>
RETURN count(*) AS done
