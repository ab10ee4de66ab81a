// Notes which columns of a table are searched.
// takes: $name STRING
// takes: $searchable STRING[]
// gives: done INT64
CREATE (t:_Table {_name: $name, _searchable: $searchable})
RETURN count(*) AS done
