// Whether a table of the user's has a node.
// for: user table
// takes: $key_ STRING
// gives: found INT64
MATCH (n:<table> {<key>: $key_})
RETURN count(*) AS found
