// Notes what is declared of a table.
// takes: $name STRING
// takes: $searchable STRING[]
// takes: $temporal BOOL
// gives: done INT64
CREATE (t:_Table {_name: $name, _searchable: $searchable, _temporal: $temporal})
RETURN count(*) AS done
