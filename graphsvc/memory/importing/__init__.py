"""Bringing in what already exists: another memory, episodes from JSON Lines, skills from Python modules.

An import may be repeated, or killed and begun again: what is in the memory already is not stored twice. What
can't be taken is skipped, and the report says where it was and why.
"""

from graphsvc.memory.importing.jsonl import import_jsonl
from graphsvc.memory.importing.memory import import_memory
from graphsvc.memory.importing.python import import_python
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress, Skipped

__all__ = ["Acknowledged", "ImportReport", "Progress", "Skipped", "import_jsonl", "import_memory", "import_python"]
