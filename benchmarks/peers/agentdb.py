"""AgentDB by its baseline scripts, as they come: better-sqlite3 in WAL, whose default there is synchronous=NORMAL.

Such a commit isn't fsynced: it survives the end of the process, not a power cut. (Read from the installed package:
SQLITE_DEFAULT_WAL_SYNCHRONOUS=1, and `PRAGMA synchronous` answers 1 once the file is in WAL.)

Of its configurations the fastest one that returns results stands in each row.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Figures
from benchmarks.section import Context

SCRIPTS = ("bench.mjs", "bench2.mjs", "package.json")
VECTORS = "vectors.f32"
INSTALL_SECONDS, RUN_SECONDS = 900, 600
K = 10
ONE_THREAD = "one JavaScript thread, calls in turn"

MODES = ("hnswlib", "sql")
"""Its index, and none. `ruvector` returns nothing as installed; `wasm` keeps everything in memory until it saves."""

WRITES = {
    "store.1": ("storeEpisode_single_200", "median_ms", ""),
    "store.8": ("storeEpisode_single_200", "ops_s", ONE_THREAD),
    "store.64": ("storeEpisode_single_200", "ops_s", ONE_THREAD),
    "store.tasks": ("storeEpisode_single_200", "ops_s", ONE_THREAD),
    "bulk": ("storeEpisode_seq_1000", "total_ms", "one by one: what its batch stores isn't searchable"),
    "causal.add": ("addCausalEdge_200", "median_ms", ""),
}
READS = {
    "retrieve.vector.small": ("retrieveRelevant_k10_1000_uncached", "returned_avg_1000"),
    "retrieve.vector.middle": ("retrieveRelevant_k10_10000_uncached", "returned_avg_10000"),
    "retrieve.cached.small": ("retrieveRelevant_k10_1000_cached", "returned_avg_1000"),
    "retrieve.cached.middle": ("retrieveRelevant_k10_10000_cached", "returned_avg_10000"),
    "retrieve.rare.small": (
        "retrieveRelevant_k10_1000_filtered_minReward0.9_onlyFailures", "filtered_returned_avg_of10_1000",
    ),
    "retrieve.rare.middle": (
        "retrieveRelevant_k10_10000_filtered_minReward0.9_onlyFailures", "filtered_returned_avg_of10_10000",
    ),
    "skills.uncached": ("searchSkills_k10_200_uncached", "searchSkills_returned_avg"),
    "skills.cached": ("searchSkills_k10_200_cached", "searchSkills_returned_avg"),
    "causal.chain": ("getCausalChain_depth3", "causal_chains_avg"),
    "reopen.middle": ("reopen_plus_first_query", "returned_after_reopen"),
}  # fmt: skip
"""Its row, and the note that says how many results came back on average: fewer than ten don't count."""
HYBRID = {"retrieve.text.middle": "bm25_search_10000", "retrieve.blend.middle": "hybrid_search_rrf_10000"}


def measure(context: Context) -> Figures:
    home = folder()
    runs = {mode: run(home, "bench.mjs", mode, out=context.work / f"agentdb-{mode}.json") for mode in MODES}
    figures = writes(runs, fsync=False)
    for row, (theirs, returned) in READS.items():
        answering = {mode: result for mode, result in runs.items() if result["notes"].get(returned, 0) >= K - 0.01}
        if fastest := _fastest(answering, theirs, "median_ms"):
            figures[row] = fastest
    hybrid = run(home, _only_hybrid(home), out=context.work / "agentdb-hybrid.json")["results"]
    for row, theirs in HYBRID.items():
        if theirs in hybrid:
            figures[row] = _figure(hybrid[theirs], "median_ms", note="ids and scores only")
    return figures


def writes(runs: dict[str, Any], *, fsync: bool) -> Figures:
    """Its stores; they do all their work in the call, so following makes no difference."""
    figures: Figures = {}
    for row, (theirs, field, note) in WRITES.items():
        if fastest := _fastest(runs, theirs, field, fsync=fsync, note=note):
            if row in ("bulk", "causal.add"):
                figures[row] = fastest
            else:
                figures[f"{row}.alone"] = figures[f"{row}.followed"] = fastest
    return figures


def _fastest(
    runs: dict[str, Any], theirs: str, field: str, *, fsync: bool | None = None, note: str = ""
) -> Figure | None:
    found = {mode: run["results"][theirs] for mode, run in runs.items() if theirs in run["results"]}
    if not found:
        return None
    choose = max if field == "ops_s" else min
    mode = choose(found, key=lambda name: found[name][field])
    return _figure(found[mode], field, fsync=fsync, note=note).with_note(f"its mode {mode}")


def _figure(result: dict[str, float], field: str, *, fsync: bool | None = None, note: str = "") -> Figure:
    return Figure(result[field], result["median_ms"], result["p95_ms"], int(result["n"]), fsync, note)


# --- its scripts ------------------------------------------------------------------------------------------


def source(root: Path) -> Path:
    """Where the baseline scripts are: in the folder that GRAPHSVC_SHARED names, or beside the checkout."""
    shared = Path(os.environ.get("GRAPHSVC_SHARED") or root.parent / "shared")
    return shared / "peers" / "agentdb"


def folder() -> Path:
    """Where they are copied to and AgentDB is installed; kept, for installing takes minutes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "graphsvc-bench" / "agentdb"


def missing(root: Path) -> str:
    """Why it can't be measured; empty if it can."""
    if not source(root).is_dir():
        return f"AgentDB isn't measured: no scripts in {source(root)} (set GRAPHSVC_SHARED)"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"AgentDB isn't measured: no {program} on this machine"
    return ""


def install(root: Path) -> None:
    """Copy the scripts and install what they measure, unless that is done. Raises RuntimeError."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True)
    for name in SCRIPTS:
        shutil.copyfile(source(root) / name, home / name)
    if (home / "node_modules" / "agentdb").is_dir():
        return
    _call(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], home, INSTALL_SECONDS)
    _call(["npm", "rebuild", "better-sqlite3", "hnswlib-node"], home, INSTALL_SECONDS)


def run(home: Path, script: str, *arguments: str, out: Path) -> Any:
    """What one run of a script measured. Its vectors are left beside it, for our side to read."""
    vectors = ["--vectors", VECTORS] if script == "bench.mjs" else []
    _call(["node", script, *arguments, *vectors, "--json", str(out)], home, RUN_SECONDS)
    return json.loads(out.read_text())


def _only_hybrid(home: Path) -> str:
    """The second script without what this project doesn't have yet: each part is a line."""
    lines = (home / "bench2.mjs").read_text().splitlines()
    kept = [
        line for line in lines
        if line.startswith("await T('hybrid'") or not line.startswith(("await T(", "for(const [n,mk]"))
    ]  # fmt: skip
    (home / "hybrid.mjs").write_text("\n".join(kept) + "\n")
    return "hybrid.mjs"


def _call(command: list[str], home: Path, seconds: float) -> None:
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=seconds)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout)[-1000:]}")
