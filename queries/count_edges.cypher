// How many edges one table has.
// for: rel table
// gives: edges INT64
MATCH ()-[r:<table>]->()
RETURN count(*) AS edges
