// Forgets what was declared of a table that is no more.
// takes: $name STRING
// gives: done INT64
MATCH (t:_Table {_name: $name})
DELETE t
RETURN count(*) AS done
