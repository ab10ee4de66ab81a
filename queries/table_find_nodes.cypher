// Which of many nodes a table of the user's has.
// for: user table
// takes: $rows TABLE
// gives: place INT64
LOAD FROM $rows
MATCH (n:<table>) WHERE n.<key> = key_
RETURN place_ AS place
