// Columns of a node table of any kind, by its name.
// gives: name STRING
// gives: type STRING
// gives: key BOOL
CALL table_info('<name>') RETURN name AS name, type AS type, `primary key` AS key
