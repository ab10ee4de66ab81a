"""`python -m benchmarks`: measure, print the tables, keep the figures in benchmarks/results.json.

Ends with 1 if a section failed, or a ceiling or a promise about quality is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import report
from benchmarks.quality import page
from benchmarks.run import ROOT, Outcome, run
from benchmarks.section import SIDES
from benchmarks.table import CROWDS, FOUND

README = ROOT / "README.md"
QUALITY = ROOT / "docs" / "quality.md"
OPERATIONS = ROOT / "docs" / "operations.md"
RESULTS = Path(__file__).parent / "results.json"
LOAD = Path(__file__).parent / "load.json"
PAGES = {"": (README, QUALITY), "quality": (QUALITY,), "ours.crowds": (OPERATIONS,)}
"""By what is measured: where it is written."""


def main() -> int:
    given = _arguments()
    console = Console(stderr=True)
    out = given.out or (None if given.quick else {"": RESULTS, "ours.crowds": LOAD}.get(given.only))
    if given.write and (given.quick or given.only not in PAGES):
        console.print("--write is for whole runs, and for --only quality or ours.crowds, which have pages of their own")
        return 2
    if given.write:
        try:
            for written in PAGES[given.only]:
                report.around(written)  # before anything is measured in vain
        except ValueError as error:
            console.print(str(error), markup=False)
            return 2
    outcome = run(
        quick=given.quick, only=given.only, say=lambda line: console.print(line, highlight=False, markup=False)
    )
    if not given.quick and not given.only and LOAD.exists():
        outcome.carry(Outcome.from_json(json.loads(LOAD.read_text(encoding="utf-8"))))
    terminal = Console()
    terminal = terminal if terminal.width >= report.WIDTH else Console(width=report.WIDTH)
    if given.only != "quality":
        report.show(outcome, terminal)
    if any(row.id in outcome.ours for row in FOUND):
        terminal.print(Markdown(page.markdown(outcome)))
    if out is not None:
        out.write_text(json.dumps(outcome.as_json(), indent=1) + "\n", encoding="utf-8")
    pages = {
        README: lambda: report.markdown(outcome),
        QUALITY: lambda: page.markdown(outcome),
        OPERATIONS: lambda: report.markdown(outcome, (CROWDS,)),
    }
    for written in PAGES[given.only] if given.write else ():
        report.write(pages[written](), written)
    kept = given.quick or all(promise.met for promise in page.promises(outcome.ours))
    if given.only or not kept:
        return int(bool(outcome.failures) or not kept)
    return int(bool(outcome.failures) or not all(verdict.held for verdict in outcome.verdicts(slack=given.slack)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute, without node")
    parser.add_argument("--write", action="store_true", help="put the tables into their pages, between the markers")
    parser.add_argument(
        "--out", type=Path, help="where the figures go as JSON; benchmarks/results.json for a whole run"
    )
    parser.add_argument("--slack", type=float, default=1.0, help="multiply every ceiling by this")
    names = ", ".join(SIDES)
    parser.add_argument("--only", default="", help=f"sections whose names hold this: {names}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
