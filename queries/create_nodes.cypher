// Creates nodes of one table, a batch at once.
// for: node table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
CREATE (n:<table> {<columns>})
RETURN count(*) AS done
