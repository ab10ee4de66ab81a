// Makes a relationship table of the user's.
// for: user table
CREATE REL TABLE <table> (<ends><columns>)
