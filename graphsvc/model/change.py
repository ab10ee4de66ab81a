"""A write, as data.

A Change is complete: applying it needs no clock, no chance, no network. What a verb's validity and its
derived values needed was read when it was appended, and the results stand in it. So every projection copies:

- `puts`, `patches`, `gone`: what happens to records;
- `nodes`, `vanished`: sessions, tasks and agents that come and go with the records that name them;
- `links`, `unlinks`: edges, beside those that a record's own node brings along (`graph.own_links`).

Payloads are never rewritten (but by `forget`); `lift` makes an old one current.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct, field

from graphsvc.errors import Corrupt
from graphsvc.model.kinds import KINDS
from graphsvc.model.records import Record

CHANGE_VERSION = 1


class Put(Struct, frozen=True, omit_defaults=True, gc=False):
    """A new record.

    Its kind, its row number, the record as JSON, and the digest of the store as the caller gave it. `vector`: one
    was given with it.
    """

    kind: str
    row: int
    record: msgspec.Raw
    hash: bytes = b""
    vector: bool = False


Ends = tuple[str, str, str, str, str, str]
"""What identifies an edge: its type, table and key of its source, then of its target, and its id, '' where the type
allows one between two nodes."""


class Link(Struct, frozen=True, omit_defaults=True, gc=False):
    """An edge of the graph: its type, the tables and keys at its ends, its values; its id where there may be many."""

    rel: str
    source_table: str
    source: str
    target_table: str
    target: str
    values: dict[str, Any] = {}
    id: str = ""

    @property
    def ends(self) -> Ends:
        """What identifies it."""
        return (self.rel, self.source_table, self.source, self.target_table, self.target, self.id)


class Patch(Struct, frozen=True, omit_defaults=True, gc=False):
    """New values for some fields of a record.

    `text`: what is embedded changed. `vector`: one was given. `hash`: of the embedded text as it is after. `edge`: of a
    record that is an edge in the graph, which one, without its values.
    """

    kind: str
    agent: str
    id: str
    row: int
    values: dict[str, Any]
    text: bool = False
    vector: bool = False
    hash: int = 0
    edge: Link | None = None


class GoneRecord(Struct, frozen=True, gc=False):
    """A record that is no more."""

    kind: str
    agent: str
    id: str
    row: int


class Held(Struct, frozen=True, omit_defaults=True, gc=False):
    """What trimmed entries said of a record beside its values.

    Its row; numbers of the first and last entry of those that touched it, and of all after the first; of one that is
    gone also what it was, in the columns of memory.sqlite: one that lives has a put of its own in the same entry.
    """

    row: int
    first: int
    last: int
    history: list[int] = []
    kind: str = ""
    agent: str = ""
    id: str = ""
    hash: bytes = b""
    state: int = 0
    parent: str | None = None
    task: str | None = None


class Trimmed(Struct, frozen=True, gc=False):
    """What an entry stands for that came in the place of trimmed ones.

    The number of the last of them; path of the snapshot that holds them, and the number of its last entry.
    """

    n: int
    snapshot: str
    held: int


class NodeRef(Struct, frozen=True, omit_defaults=True, gc=False):
    """A node of the graph that isn't a record: its table and key, and its values where it appears."""

    table: str
    key: str
    values: dict[str, Any] = {}


class Change(Struct, kw_only=True, omit_defaults=True):
    """One entry of the log.

    Attributes:
        n: its number, from 1, without gaps. Filled in by the log, not part of the body.
        at: microseconds since 1970 when it was appended. Not part of the body.
        verb: what was asked: `episode.store`, `skill.link`, …
        live: the records of its puts by row, where it was just appended. Not part of the body.
        size: bytes that it takes in the log, where it was just appended, else 0. Not part of the body.
        call: number of the first entry of a call that takes several, else 0; `last` closes the call.
        forgotten: records whose values were overwritten by it, in this entry and all before; also those gone before.
        trimmed: it is one of those that came in the place of trimmed entries, and together add up to the same;
            held: what those said of records beside their values.
    """

    verb: str
    n: int = 0
    at: int = 0
    version: int = CHANGE_VERSION
    call: int = 0
    last: bool = True
    puts: list[Put] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    gone: list[GoneRecord] = field(default_factory=list)
    nodes: list[NodeRef] = field(default_factory=list)
    vanished: list[NodeRef] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    unlinks: list[Link] = field(default_factory=list)
    forgotten: list[GoneRecord] = field(default_factory=list)
    trimmed: Trimmed | None = None
    held: list[Held] = field(default_factory=list)
    vectors: bytes = b""
    live: dict[int, Record] = field(default_factory=dict)
    size: int = 0

    @property
    def given_at(self) -> int:
        """The number that tells which model's the vectors are that came with it."""
        return self.trimmed.n if self.trimmed is not None else self.n

    def record_of(self, put: Put) -> Record:
        """The record of one of its puts."""
        known = self.live.get(put.row)
        return known if known is not None else decode_record(put.kind, put.record)


class _Body(Struct, omit_defaults=True):
    """A change as it lies in the log; number, time, verb, version, call and vectors have columns of their own."""

    puts: list[Put] = []
    patches: list[Patch] = []
    gone: list[GoneRecord] = []
    nodes: list[NodeRef] = []
    vanished: list[NodeRef] = []
    links: list[Link] = []
    unlinks: list[Link] = []
    forgotten: list[GoneRecord] = []
    trimmed: Trimmed | None = None
    held: list[Held] = []


_decoders = {name: msgspec.json.Decoder(kind.record) for name, kind in KINDS.items()}


def decode_record(kind: str, body: str | bytes | msgspec.Raw) -> Record:
    """A record from its JSON. Raises Corrupt if it isn't one."""
    try:
        return _decoders[kind].decode(body)
    except (msgspec.MsgspecError, KeyError) as error:
        raise Corrupt(f"a {kind} is damaged ({error})", hint="Run `graphsvc repair`.") from error


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Body)


def encode(change: Change) -> bytes:
    """The body of a change, as JSON."""
    body = _Body(
        change.puts, change.patches, change.gone, change.nodes, change.vanished, change.links, change.unlinks,
        change.forgotten, change.trimmed, change.held,
    )  # fmt: skip
    return _encoder.encode(body)


def checksum(n: int, at: int, verb: str, version: int, call: int, last: int, body: str, vectors: bytes | None) -> int:
    """CRC-32 of an entry of the log, its columns in their order."""
    head = f"{n} {at} {verb} {version} {call} {last} ".encode()
    return crc32(vectors or b"", crc32(body.encode(), crc32(head)))


def decode(
    n: int, at: int, verb: str, version: int, call: int, last: bool, body: str, vectors: bytes | None
) -> Change:
    """A change from a row of the log, lifted to the current version. Raises Corrupt if it isn't one."""
    try:
        content = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"entry {n} of the log is damaged ({error})") from error
    change = Change(
        verb=verb, n=n, at=at, version=version, call=call, last=last, vectors=vectors or b"",
        puts=content.puts, patches=content.patches, gone=content.gone, nodes=content.nodes,
        vanished=content.vanished, links=content.links, unlinks=content.unlinks, forgotten=content.forgotten,
        trimmed=content.trimmed, held=content.held,
    )  # fmt: skip
    return lift(change)


def lift(change: Change) -> Change:
    """The same change in the current version. Version 1 is the first: there is nothing to lift yet."""
    return change
