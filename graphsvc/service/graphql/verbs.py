"""Which field each operation is, and of what is joined to others in another way, where it is."""

from __future__ import annotations

QUERIES = {
    "recall": "recall", "brief": "brief", "history": "history", "feedbacks": "feedbacks", "status": "status",
    "stats": "stats", "wait": "wait", "cypher": "cypher", "schema": "graphSchema", "verify": "verify",
    "snapshots": "snapshots", "size": "size",
    "episodes.retrieve": "retrieve", "episodes.retrieve_many": "retrieveMany", "episodes.vector": "episodeVector",
    "episodes.critiques": "critiques", "episodes.strategies": "strategies",
    "episodes.statistics": "episodeStatistics", "episodes.relations": "episodeRelations",
    "episodes.history": "episodeHistory",
    "skills.search": "searchSkills", "skills.search_many": "searchSkillsMany", "skills.vector": "skillVector",
    "skills.choose": "chooseSkill", "skills.links": "skillLinks", "skills.plan": "skillPlan",
    "skills.statistics": "skillStatistics", "skills.version": "skillVersion", "skills.versions": "skillVersions",
    "skills.history": "skillHistory", "entities.history": "entityHistory",
    "facts.list": "factsAt", "facts.count": "countFacts", "facts.current": "currentFacts",
    "facts.history": "factBeliefs", "facts.contradictions": "contradictions", "facts.predicates": "predicates",
    "facts.search": "searchFacts",
    "causal.list": "causalEdgesAt", "causal.effects": "effects", "causal.causes": "causes",
    "causal.paths": "causalPaths", "causal.what_if": "whatIf", "causal.similar": "similarCauses",
    "causal.missing": "variableMissing", "causal.history": "causalEdgeHistory",
    "graph.node": "graphNode", "graph.neighbours": "neighbours", "graph.joints": "joints",
    "graph.subgraph": "subgraph", "graph.paths": "paths", "graph.shortest_path": "shortestPath",
    "graph.all_shortest_paths": "allShortestPaths", "graph.cheapest_path": "cheapestPath",
    "graph.schema": "userTables", "graph.outcome": "statementOutcome", "graph.to_networkx": "networkx",
    "graph.pagerank": "pagerank", "graph.degree": "degree", "graph.components": "components",
    "graph.communities": "communities", "graph.label_propagation": "labelPropagation", "graph.k_core": "kCore",
    "graph.triangles": "triangles", "graph.closeness": "closeness", "graph.betweenness": "betweenness",
    "graph.similarity": "nodeSimilarity",
}  # fmt: skip
"""Operations that read, by name, and the field of the query that each is."""

LOOKUPS = {
    "episodes.get": "episode", "skills.get": "skill", "entities.get": "entity", "facts.get": "fact",
    "causal.get": "causalEdge",
}  # fmt: skip
"""Operations that give one record by its id, or an error as a result."""

LISTED = {
    "episode": "episodes", "skill": "skills", "entity": "entities", "fact": "facts", "variable": "variables",
    "cause": "causalEdges",
}  # fmt: skip
"""Kinds of records, and the connection that has all of them."""

OTHERWISE = {
    "get_many": "node, nodes", "page": "episodes, skills, entities, facts, variables, causalEdges",
    "episodes.list": "episodes", "episodes.count": "episodes.totalCount", "episodes.about": "Episode.about",
    "episodes.evidence": "Episode.evidence", "skills.list": "skills", "skills.count": "skills.totalCount",
    "skills.evidence": "Skill.drawnFrom", "entities.list": "entities", "entities.count": "entities.totalCount",
    "entities.episodes": "Entity.episodes", "facts.evidence": "Fact.evidence", "causal.variables": "variables",
    "causal.count": "causalEdges.totalCount", "causal.around": "causes, effects of what causal edges join",
    "changes": "Subscription.changed", "graph.nodes": "tables",
    "progress": "Subscription.progress", "graph.rows": "tables",
}  # fmt: skip
"""Operations that are no field by themselves, and where what they give is had."""

MUTATIONS = {
    "episodes.store": ("storeEpisode", "episode"), "episodes.store_many": ("storeEpisodes", "episodes"),
    "episodes.amend": ("amendEpisode", "episode"), "episodes.delete": ("deleteEpisodes", "count"),
    "episodes.prune": ("pruneEpisodes", "ids"), "episodes.link": ("linkEpisode", "changed"),
    "episodes.unlink": ("unlinkEpisode", "changed"),
    "skills.create": ("createSkill", "skill"), "skills.create_many": ("createSkills", "skills"),
    "skills.revise": ("reviseSkill", "skill"), "skills.record_outcome": ("recordOutcome", "skill"),
    "skills.link": ("linkSkills", "changed"), "skills.unlink": ("unlinkSkills", "changed"),
    "skills.delete": ("deleteSkills", "count"), "skills.prune": ("pruneSkills", "ids"),
    "skills.consolidate": ("consolidateSkills", "consolidation"),
    "entities.upsert": ("upsertEntity", "entity"), "entities.upsert_many": ("upsertEntities", "entities"),
    "entities.delete": ("deleteEntities", "count"),
    "facts.predicate": ("definePredicate", "predicate"), "facts.add": ("addFact", "fact"),
    "facts.add_many": ("addFacts", "facts"), "facts.retract": ("retractFact", "fact"),
    "facts.correct": ("correctFact", "fact"),
    "causal.variable": ("defineVariable", "variable"), "causal.delete_variable": ("deleteVariables", "count"),
    "causal.add": ("addCausalEdge", "causalEdge"), "causal.add_many": ("addCausalEdges", "causalEdges"),
    "causal.expire": ("expireCausalEdge", "causalEdge"), "causal.delete": ("deleteCausalEdges", "count"),
    "feedback": ("giveFeedback", "feedback"),
    "graph.define": ("defineTable", "table"), "graph.drop": ("dropTable", "done"), "graph.add": ("addRows", "count"),
    "graph.upsert": ("upsertRows", "counts"), "graph.update": ("updateRows", "count"),
    "graph.delete": ("deleteRows", "count"), "graph.from_networkx": ("addNetworkx", "counts"),
    "graph.write_back": ("writeBackScores", "count"), "graph.save": ("saveGraph", "counts"),
    "graph.load": ("loadGraph", "counts"),
    "cypher.write": ("writeCypher", "result"),
    "forget": ("forget", "report"), "repair": ("repair", "report"), "warm": ("warm", "done"),
    "reembed": ("reembed", "done"), "interrupt": ("interrupt", "done"), "snapshot": ("snapshot", "snapshot"),
    "trim": ("trim", "report"), "export": ("export", "report"),
}  # fmt: skip
"""Operations that write, or change how the service runs: the mutation that each is, and what its payload calls the
answer.
"""
