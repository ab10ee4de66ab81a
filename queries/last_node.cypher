// The highest number that a node of one table has; nothing if there is no node.
// for: node table
// gives: last INT64
MATCH (n:<table>)
RETURN max(offset(id(n))) AS last
