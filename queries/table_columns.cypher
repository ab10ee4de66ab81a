// Columns of a table of any kind, by its name, and the engine's types of them.
// gives: name STRING
// gives: type STRING
CALL table_info('<name>') RETURN name AS name, type AS type
