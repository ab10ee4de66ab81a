// What is declared of the user's own tables, beside their columns.
// gives: name STRING
// gives: searchable STRING[]
// gives: temporal BOOL
MATCH (t:_Table)
RETURN t._name AS name, t._searchable AS searchable, t._temporal AS temporal
