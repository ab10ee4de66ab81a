"""How answers look: one JSON document for programs, tables for people, neither able to command a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Everything that a terminal obeys or that turns the order of writing, but for line ends and tabs.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
CELL = 600
"""Characters of a text that a table shows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answers.

    Attributes:
        data: for `--json`.
        view: prints it for people.
        code: that the process ends with.
    """

    data: Any
    view: Callable[[Console], None]
    code: int = 0


def safe(text: str) -> str:
    r"""The text with what a terminal would obey made visible: an escape character becomes `\x1b`."""
    return _OBEYED.sub(lambda found: _visible(found[0]), text)


def _visible(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def as_json(data: Any, *, indent: bool = False) -> bytes:
    """One JSON document and a line end. What a terminal would obey is escaped, which JSON allows in texts."""
    import msgspec

    try:
        encoded = msgspec.json.encode(data, enc_hook=str)
    except UnicodeEncodeError:  # a name of a file that isn't UTF-8
        encoded = msgspec.json.encode(_readable(msgspec.to_builtins(data, enc_hook=str)))
    if indent:
        encoded = msgspec.json.format(encoded, indent=2)
    # Below 0x20 the encoder escapes itself; what it left are the line ends of the layout.
    text = re.sub(r"[\x7f-\x9f\u200e-\u2069]", lambda found: f"\\u{ord(found[0]):04x}", encoded.decode())
    return text.encode() + b"\n"


def _readable(data: Any) -> Any:
    """The same with half characters shown by their numbers: no JSON holds them."""
    if isinstance(data, str):
        return data.encode(errors="backslashreplace").decode()
    if isinstance(data, dict):
        return {_readable(name): _readable(value) for name, value in data.items()}
    return [_readable(value) for value in data] if isinstance(data, list | tuple) else data


def console(*, error: bool = False) -> Console:
    """Where people read."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")  # a terminal without a character shows its number
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def cell(value: Any, *, limit: int = CELL) -> str:
    """A value in words, for a table."""
    if value is None or value == "" or value == () or value == {}:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%SZ}"
    if isinstance(value, tuple | list):
        return safe(", ".join(map(str, value)))
    if isinstance(value, dict):
        return as_json(value).decode().strip()
    text = safe(str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def line(text: str, limit: int = 160) -> str:
    """The first paragraph of a text, as one line."""
    first = " ".join(text.strip().partition("\n\n")[0].split())
    return first if len(first) <= limit else first[: limit - 1] + "…"


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: Sequence[str] = ()) -> Table:
    """A table; the columns in `whole` are never cut, so that what stands there can be copied."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=Text(safe(title)), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        uncut = name in whole
        made.add_column(Text(name), overflow="fold", no_wrap=uncut, vertical="top")
    for row in rows:
        made.add_row(*(Text(cell(value)) for value in row))
    return made


def fields(values: dict[str, Any], title: str = "") -> Table:
    """Names and values, one below the other; long texts in full."""
    from rich.table import Table
    from rich.text import Text

    # A title is as wide as it is, however narrow the table.
    heading = Text(safe(title), no_wrap=True, overflow="ignore") if title else None
    made = Table(title=heading, title_justify="left", box=None, show_header=False, pad_edge=False)
    made.add_column(style="bold", vertical="top", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        made.add_row(Text(safe(name)), Text(cell(value, limit=1 << 20)))
    return made


def size(count: float) -> str:
    """Bytes in a unit that reads well."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"
