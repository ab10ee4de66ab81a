// Creates one node. Its parameters are the columns of its table.
// for: node table
// gives: done INT64
CREATE (n:<table> {<columns>})
RETURN count(*) AS done
