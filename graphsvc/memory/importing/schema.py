"""The JSON Schema of a line of episodes, made from the record's declaration.

`python -m graphsvc.memory.importing.schema > schema/episodes.schema.json` writes it anew.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from graphsvc.model.records import Episode

FILLED_IN = ("id", "at")
"""Fields that every episode has and a line needn't."""


def episode_schema() -> dict[str, Any]:
    """What a line may hold, as JSON Schema (2020-12). A null where a field is optional means: not given."""
    _, definitions = msgspec.json.schema_components([Episode])
    schema = dict(definitions["Episode"])
    schema["required"] = [name for name in schema["required"] if name not in FILLED_IN]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://graphsvc.dev/schema/episodes.schema.json",
        **schema,
    }


def as_text() -> str:
    """The schema as `schema/episodes.schema.json` holds it."""
    return msgspec.json.format(msgspec.json.encode(episode_schema()), indent=2).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text())
