// Moves the number of the last migration, in the transaction that runs it.
// takes: $migration INT64
// gives: done INT64
MERGE (a:_Applied {_row: 0})
ON CREATE SET a._n = 0, a._migration = $migration
ON MATCH SET a._migration = $migration
RETURN count(*) AS done
