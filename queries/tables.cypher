// Which columns of the user's own tables are searched, where any are.
// gives: name STRING
// gives: searchable STRING[]
MATCH (t:_Table)
RETURN t._name AS name, t._searchable AS searchable
