// Makes a node table of the user's.
// for: user table
CREATE NODE TABLE <table> (<columns>, PRIMARY KEY (<key>))
