// Moves the number of the last change, in the transaction that applies it.
// takes: $n INT64
// gives: done INT64
MATCH (a:_Applied {_row: 0})
SET a._n = $n
RETURN count(*) AS done
