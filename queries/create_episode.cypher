// Creates one episode together with the edges to its session and task, which exist already. Its other parameters
// are the columns of the table.
// takes: $session_ STRING
// takes: $task_ STRING
// gives: done INT64
MATCH (s:Session {key: $session_}), (t:Task {key: $task_})
CREATE (s)<-[:IN_SESSION]-(n:Episode {<columns>})-[:ATTEMPTS]->(t)
RETURN count(*) AS done
