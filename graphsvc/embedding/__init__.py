"""Text to unit vectors: the model, its runtimes, the cache, the workers.

Importing this package loads no model and no runtime; names are resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphsvc.embedding.service import EmbeddingService
    from graphsvc.embedding.vectors import Embedded, Identity

__all__ = ["Embedded", "EmbeddingService", "Identity"]

_HOME = {"Embedded": "vectors", "EmbeddingService": "service", "Identity": "vectors"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
