// How many edges one of the user's tables has.
// for: user table
// gives: edges INT64
MATCH ()-[r:<table>]->()
RETURN count(*) AS edges
