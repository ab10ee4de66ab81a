// Tables that exist.
// gives: name STRING
// gives: type STRING
CALL show_tables() RETURN name, type
