// Columns of one of the user's tables, and of nodes which is the key.
// for: user table
CALL table_info('<name>')
RETURN *
