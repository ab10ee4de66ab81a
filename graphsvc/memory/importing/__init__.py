"""Bringing in what already exists: another memory, episodes from JSON Lines, tables, git, JUnit XML and conversations,
and skills from the functions of Python modules.

An import may be repeated, or killed and begun again: what is in the memory already is not stored twice. What
can't be taken is skipped, and the report says where it was and why.
"""

from graphsvc.memory.importing.git import import_git
from graphsvc.memory.importing.jsonl import import_jsonl
from graphsvc.memory.importing.junit import import_junit
from graphsvc.memory.importing.memory import import_memory
from graphsvc.memory.importing.messages import import_messages
from graphsvc.memory.importing.python import import_python
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress, Skipped
from graphsvc.memory.importing.table import import_table

__all__ = [
    "Acknowledged",
    "ImportReport",
    "Progress",
    "Skipped",
    "import_git",
    "import_jsonl",
    "import_junit",
    "import_memory",
    "import_messages",
    "import_python",
    "import_table",
]
