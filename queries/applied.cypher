// How far the graph has come: the number of the log's last change in it, and the last migration.
// gives: n INT64
// gives: migration INT64
MATCH (a:_Applied)
RETURN a._n AS n, a._migration AS migration
