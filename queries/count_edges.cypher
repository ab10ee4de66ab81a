// How many edges one table has.
// for: rel table
// gives: edges INT64
MATCH (:<source>)-[r:<table>]->(:<target>)
RETURN count(*) AS edges
