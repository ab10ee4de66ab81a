"""Open a memory, verify it, and say what is there as JSON. In a process of its own: one engine a process."""

import json
import sys

import graphsvc

with graphsvc.open(sys.argv[1], create=False, max_results=1_000_000) as memory:
    report = memory.verify()
    episodes = memory.episodes.list(k=1_000_000)
    print(
        json.dumps(
            {
                "problems": [str(problem) for problem in report.problems],
                "digest": report.digest,
                "critiques": {episode.id: episode.critique for episode in episodes},
                "uplifts": {edge.id: edge.uplift for edge in memory.causal.list(k=1_000_000)},
                "expired": [edge.id for edge in memory.causal.list({"valid_to": {"exists": True}}, k=1_000_000)],
            }
        )
    )
