// Columns of a relationship table of any kind, by its name.
// gives: name STRING
// gives: type STRING
CALL table_info('<name>') RETURN name AS name, type AS type
