// Creates episodes together with the edges to their session and task, which exist already. In one statement, since
// finding the episodes again for their edges would read the whole table on Kuzu.
// takes: $rows TABLE
// gives: done INT64
LOAD FROM $rows
MATCH (s:Session) WHERE s.key = session_
MATCH (t:Task) WHERE t.key = task_
CREATE (s)<-[:IN_SESSION]-(n:Episode {<columns>})-[:ATTEMPTS]->(t)
RETURN count(*) AS done
