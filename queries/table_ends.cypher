// The node tables that one of the user's relationship tables joins.
// for: user table
CALL show_connection('<name>')
RETURN *
