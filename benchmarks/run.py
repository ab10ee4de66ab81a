"""One run: every section in a process of its own, one after the other, in one directory that goes at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.ceilings import Verdict, verdicts
from benchmarks.figures import Figure, Figures
from benchmarks.peers import agentdb
from benchmarks.sizes import FULL, QUICK, Sizes

ROOT = Path(__file__).resolve().parent.parent
SECTION_SECONDS = 1_800

SECTIONS = (
    ("peers.agentdb", "agentdb"),
    ("peers.agentdb_durable", "agentdb_durable"),
    ("peers.sqlite", "sqlite"),
    ("ours.storing", "ours"),
    ("ours.retrieval", "ours"),
    ("ours.skills", "ours"),
    ("ours.facts", "ours"),
    ("ours.causal", "ours"),
    ("ours.opening", "ours"),  # opens what `retrieval` built
    ("ours.travel", "ours"),  # takes along what `retrieval` built, and goes on writing it
    ("ours.recall", "ours"),  # widens what `retrieval` built
    ("ours.graph", "ours"),
    ("peers.kuzu", "kuzu"),
    ("peers.networkx", "networkx"),
    ("peers.lancedb", "lancedb"),
    ("ours.embedding", "ours"),
    ("quality.finding", "ours"),
    ("quality.helping", "ours"),
    ("peers.sentence_transformers", "sentence_transformers"),
)
"""Module and side, in the order in which they run: AgentDB first, for it writes the vectors that all use."""

NOT_QUICK = {"peers.agentdb", "peers.agentdb_durable", "peers.sentence_transformers", "quality.helping"}

Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What a run measured.

    Attributes:
        figures: by side, by row. notices: what was left out, and why. failures: sections that failed.
    """

    quick: bool
    machine: dict[str, Any]
    figures: dict[str, Figures] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> Sizes:
        return QUICK if self.quick else FULL

    @property
    def ours(self) -> Figures:
        return self.figures.get("ours", {})

    def verdicts(self, *, slack: float = 1.0) -> list[Verdict]:
        return verdicts(self.ours, slack=slack)

    def as_json(self) -> dict[str, Any]:
        figures = {
            side: {row: figure.as_json() for row, figure in found.items()} for side, found in self.figures.items()
        }
        ceilings = {
            verdict.row: {"ceiling": verdict.ceiling, "measured": verdict.measured, "met": verdict.met}
            for verdict in self.verdicts()
        }
        return {
            "quick": self.quick, "machine": self.machine, "sizes": self.sizes.by_name(), "figures": figures,
            "ceilings": ceilings, "notices": self.notices, "failures": self.failures,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Outcome:
        """What `as_json` gave."""
        figures = {
            side: {row: Figure(**figure) for row, figure in found.items()} for side, found in content["figures"].items()
        }
        return cls(content["quick"], content["machine"], figures, content["notices"], content["failures"])


def run(*, quick: bool, only: str, say: Say) -> Outcome:
    """Measure everything, or the sections whose names hold `only`."""
    with tempfile.TemporaryDirectory(prefix="graphsvc-bench-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        outcome = Outcome(quick, machine.describe(work))
        for name, side in _chosen(outcome, only, say):
            began = time.monotonic()
            say(f"{name} …")
            try:
                outcome.figures.setdefault(side, {}).update(_section(name, work, quick))
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                outcome.failures[name] = str(error)
                say(f"{name} failed: {error}")
            say(f"{name}: {time.monotonic() - began:.0f} s")
    return outcome


def _chosen(outcome: Outcome, only: str, say: Say) -> list[tuple[str, str]]:
    chosen = [section for section in SECTIONS if only in section[0]]
    if outcome.quick:
        return [section for section in chosen if section[0] not in NOT_QUICK]
    if any("agentdb" in name for name, _ in chosen):
        notice = agentdb.missing(ROOT)
        if not notice:
            say("installing AgentDB, unless it is there …")
            try:
                agentdb.install(ROOT)
            except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                notice = f"AgentDB isn't measured: {error}"
        if notice:
            outcome.notices.append(notice)
            say(notice)
            return [section for section in chosen if "agentdb" not in section[0]]
    return chosen


def _section(name: str, work: Path, quick: bool) -> Figures:
    out = work / f"{name}.json"
    command = [
        sys.executable, "-m", "benchmarks.section", name, "--work", str(work), "--out", str(out),
        "--vectors", str(agentdb.folder() / agentdb.VECTORS), *(["--quick"] if quick else []),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False, timeout=SECTION_SECONDS
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-2000:] or f"ended with {done.returncode}")
    return {row: Figure(**figure) for row, figure in json.loads(out.read_text()).items()}


def _environment() -> dict[str, str]:
    """That of the caller, without settings of graphsvc: the defaults are measured. Where models are cached stays."""
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith("GRAPHSVC_") or name in ("GRAPHSVC_CACHE_DIR", "GRAPHSVC_SHARED")
    }  # fmt: skip
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return kept
