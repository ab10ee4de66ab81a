"""Dying at a seam of the program: just before or just after a function's n-th call.

The functions are the real ones; only the moment of death is chosen.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from typing import Any


def die_at(place: str, when: str, nth: int) -> None:
    """Have this process killed before or after the n-th call of `module:Class.function`."""
    module_name, _, path = place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    real: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def dying(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **options)
        if calls[0] == nth and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)
