// What an episode is connected with: the episodes before and after it in its session, and other attempts at its
// task. `relation` is previous, next or attempt.
// takes: $key STRING
// gives: relation STRING
// gives: key STRING
// gives: at TIMESTAMP
// gives: reward DOUBLE
// gives: success BOOL
MATCH (e:Episode {key: $key})<-[:NEXT]-(o:Episode)
RETURN 'previous' AS relation, o.key AS key, o.at AS at, o.reward AS reward, o.success AS success
UNION ALL
MATCH (e:Episode {key: $key})-[:NEXT]->(o:Episode)
RETURN 'next' AS relation, o.key AS key, o.at AS at, o.reward AS reward, o.success AS success
UNION ALL
MATCH (e:Episode {key: $key})-[:ATTEMPTS]->(:Task)<-[:ATTEMPTS]-(o:Episode)
WHERE o.key <> $key
RETURN 'attempt' AS relation, o.key AS key, o.at AS at, o.reward AS reward, o.success AS success
UNION ALL
MATCH (e:Episode {key: $key})-[u:USED]->(s:Skill)
RETURN 'skill' AS relation, s.key AS key, s.last_used AS at, u.reward AS reward, u.success AS success
