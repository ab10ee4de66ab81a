// Moves the number of the last change, in the transaction that applies it. In the middle of a change that takes several
// transactions it is negative, and says how many rows of that change are done.
// takes: $n INT64
// gives: done INT64
MATCH (a:_Applied {_row: 0})
SET a._n = $n
RETURN count(*) AS done
