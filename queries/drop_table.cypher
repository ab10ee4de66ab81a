// Drops a table of the user's.
// for: user table
DROP TABLE <table>
