// The node tables that a relationship table joins.
// gives: source STRING
// gives: target STRING
CALL show_connection('<name>') RETURN `source table name` AS source, `destination table name` AS target
