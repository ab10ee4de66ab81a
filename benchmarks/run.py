"""One run: every section in a process of its own, one after the other, in one directory that goes at the end.

A quick run has all of them in one process: it says nothing about speed, and most of it would go into imports.
"""

from __future__ import annotations

import compileall
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
from benchmarks.section import SIDES
from benchmarks.sizes import FULL, QUICK, Sizes

ROOT = Path(__file__).resolve().parent.parent
SECTION_SECONDS = 7_200

NOT_WHOLE = {"ours.crowds"}
"""Takes long: `make bench-load` measures it, and a whole run shows what was found then."""
NOT_QUICK = {"peers.agentdb", "peers.agentdb_durable", "peers.sentence_transformers", "quality.helping"}

Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What a run measured.

    Attributes:
        figures: by side, by row. notices: what was left out, and why. failures: sections that failed. seconds: that
            each section took.
    """

    quick: bool
    machine: dict[str, Any]
    figures: dict[str, Figures] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def sizes(self) -> Sizes:
        return QUICK if self.quick else FULL

    @property
    def ours(self) -> Figures:
        return self.figures.get("ours", {})

    def verdicts(self, *, slack: float = 1.0) -> list[Verdict]:
        return verdicts(self.figures, slack=slack)

    def carry(self, other: Outcome) -> None:
        """Show what another run measured and this one didn't."""
        carried = 0
        for side, figures in other.figures.items():
            mine = self.figures.setdefault(side, {})
            carried += len(figures.keys() - mine.keys())
            self.figures[side] = {**figures, **mine}
        if carried:
            about = other.machine
            self.notices.append(
                f"The crowds at the service were measured by `make bench-load`, {about['date'][:10]}, {about['cpu']}, "
                f"{about['cores']} cores."
            )

    def as_json(self) -> dict[str, Any]:
        figures = {
            side: {row: figure.as_json() for row, figure in found.items()} for side, found in self.figures.items()
        }
        ceilings = {
            verdict.name: {"ceiling": verdict.ceiling, "measured": verdict.measured, "met": verdict.met}
            for verdict in self.verdicts()
        }
        return {
            "quick": self.quick, "machine": self.machine, "sizes": self.sizes.by_name(), "figures": figures,
            "ceilings": ceilings, "notices": self.notices, "failures": self.failures,
            "seconds": self.seconds,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Outcome:
        """What `as_json` gave."""
        figures = {
            side: {row: Figure(**figure) for row, figure in found.items()} for side, found in content["figures"].items()
        }
        return cls(content["quick"], content["machine"], figures, content["notices"], content["failures"],
                   content.get("seconds", {}))


def run(*, quick: bool, only: str, say: Say) -> Outcome:
    """Measure everything, or the sections whose names hold `only`."""
    # As installing does: where Python is told to write no bytecode, each process would compile the package anew.
    compileall.compile_dir(ROOT / "graphsvc", quiet=2)
    with tempfile.TemporaryDirectory(prefix="graphsvc-bench-", ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        outcome = Outcome(quick, machine.describe(work))
        chosen = _chosen(outcome, only, say)
        for names in [chosen] if quick else [[name] for name in chosen]:
            say(f"{', '.join(names)} …")
            for name, found in _sections(names, work, quick).items():
                if "failed" in found:
                    outcome.failures[name] = found["failed"]
                    say(f"{name} failed: {found['failed']}")
                for side, figures in found.get("figures", {}).items():
                    outcome.figures.setdefault(side, {}).update(
                        {row: Figure(**figure) for row, figure in figures.items()}
                    )
                outcome.seconds[name] = round(found["seconds"], 1)
                say(f"{name}: {found['seconds']:.0f} s")
    return outcome


def _chosen(outcome: Outcome, only: str, say: Say) -> list[str]:
    chosen = [name for name in SIDES if only in name and (only or outcome.quick or name not in NOT_WHOLE)]
    if outcome.quick:
        return [name for name in chosen if name not in NOT_QUICK]
    if any("agentdb" in name for name in chosen):
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
            return [name for name in chosen if "agentdb" not in name]
    return chosen


def _sections(names: list[str], work: Path, quick: bool) -> dict[str, dict[str, Any]]:
    """What sections found in one process: `figures` by side, or why it `failed`, and in how many `seconds`."""
    out = work / f"{names[0]}.json"
    out.touch()
    command = [
        sys.executable, "-m", "benchmarks.section", *names, "--work", str(work), "--out", str(out),
        "--vectors", str(agentdb.folder() / agentdb.VECTORS), *(["--quick"] if quick else []),
    ]  # fmt: skip
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False, timeout=SECTION_SECONDS
        )
        why = done.stderr.strip()[-2000:] or f"ended with {done.returncode}"
    except subprocess.TimeoutExpired as error:
        why = str(error)
    found = {(line := json.loads(each)).pop("name"): line for each in out.read_text().splitlines()}
    for name in names:
        found.setdefault(name, {"failed": why, "seconds": time.monotonic() - began})
    return found


def _environment() -> dict[str, str]:
    """That of the caller, without settings of graphsvc: the defaults are measured. Where models are cached stays."""
    kept = {
        name: value for name, value in os.environ.items()
        if not name.startswith("GRAPHSVC_") or name in ("GRAPHSVC_CACHE_DIR", "GRAPHSVC_SHARED")
    }  # fmt: skip
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return kept
