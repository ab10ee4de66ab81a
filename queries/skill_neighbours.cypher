// Skills that a skill is linked with, by type of the link and its direction: out from it, or in to it.
// takes: $key STRING
// gives: rel STRING
// gives: direction STRING
// gives: key STRING
// gives: name STRING
// gives: weight DOUBLE
MATCH (s:Skill {key: $key})-[r:PREREQUISITE|ALTERNATIVE|REFINES|PART_OF|CALLS]->(o:Skill)
RETURN label(r) AS rel, 'out' AS direction, o.key AS key, o.name AS name, r.weight AS weight
UNION ALL
MATCH (s:Skill {key: $key})<-[r:PREREQUISITE|ALTERNATIVE|REFINES|PART_OF|CALLS]-(o:Skill)
RETURN label(r) AS rel, 'in' AS direction, o.key AS key, o.name AS name, r.weight AS weight
