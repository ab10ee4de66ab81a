"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("kuzu", "lancedb", "tantivy", "numpy", "pyarrow", "onnxruntime", "sentence-transformers", "torch")
FSYNCS = 50


def describe(work: Path) -> dict[str, Any]:
    """Processor, cores, versions, load, and what an fsync costs on the disk that is measured."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {"sqlite": sqlite3.sqlite_version, **_packages()},
        "node": _node(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "fsync_ms": fsync_ms(work),
    }


def fsync_ms(folder: Path) -> float:
    """Median milliseconds to write 4 kB behind a file's end and have the disk hold it."""
    path = folder / "fsync"
    durations = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno()) if hasattr(os, "fdatasync") else os.fsync(file.fileno())
            durations.append(time.perf_counter() - began)
    path.unlink()
    return round(sorted(durations)[FSYNCS // 2] * 1e3, 3)


def delayed(pid: int = 0) -> float:
    """Seconds that this thread, or the first of a process, has waited for a core so far; 0 where the system doesn't
    tell.
    """
    path = Path(f"/proc/{pid}/schedstat" if pid else "/proc/thread-self/schedstat")
    try:
        return int(path.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _node() -> str | None:
    try:
        return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
