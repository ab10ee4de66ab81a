"""What we measure, against whom: `python -m benchmarks`, or `make bench`."""

import sys
from pathlib import Path

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
sys.path.insert(0, str(DATASETS))  # the agent `smith` lies beside its data and isn't installed
