// Tables by the number that internal ids name them with.
// gives: id UINT64
// gives: name STRING
CALL show_tables() RETURN id AS id, name AS name
