// Creates edges between nodes that exist; a row whose end is missing is dropped, so `done` has to be compared.
// Two MATCHes, each with its own WHERE: written as one, Kuzu makes a cross product of the two tables.
// for: rel table
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (a:<source>) WHERE a.key = source_
MATCH (b:<target>) WHERE b.key = target_
CREATE (a)-[r:<table> {<columns>}]->(b)
RETURN count(*) AS done
