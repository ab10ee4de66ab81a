"""AgentDB's stores once more with synchronous=FULL, which makes its acknowledged writes as durable as ours."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.peers.agentdb import MODES, folder, run, writes
from benchmarks.section import Context

WAL = "db.pragma('journal_mode = WAL');"
FULL = WAL + "db.pragma('synchronous = FULL');"


def measure(context: Context) -> Figures:
    home = folder()
    script = _durable(home)
    runs = {
        mode: run(home, script, mode, "--n", "1000", out=context.work / f"agentdb-durable-{mode}.json")
        for mode in MODES
    }
    return writes(runs, fsync=True)


def _durable(home: Path) -> str:
    text = (home / "bench.mjs").read_text()
    if WAL not in text:
        raise RuntimeError("bench.mjs opens its database in another way than this knows")
    (home / "durable.mjs").write_text(text.replace(WAL, FULL))
    return "durable.mjs"
