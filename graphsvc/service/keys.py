"""API keys: who holds one may call the service, as far as the key's role and namespaces go.

One file beside the memory holds them, as hashes. It is written anew and put in place at once, under a lock, so that a
service that reads it meanwhile has the old keys or the new; it looks at each request whether the file is another.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import asdict, replace

from graphsvc.config import ServiceSettings, whole_path
from graphsvc.errors import BadInput, Conflict, Corrupt, NotFound
from graphsvc.model.names import check_name
from graphsvc.model.times import seconds

FILE = "graphsvc.keys.json"
LIMIT = 10_000
"""Keys at most, those that were revoked too."""
_TEXT = re.compile(r"gsvc_([0-9a-f]{12})_[0-9a-f]{64}")

RoleName = Literal["reader", "writer", "admin"]


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key, without its secret.

    Attributes:
        id: part of the key's text, and what it is called by. name: for people.
        role: what it may. namespaces: that it sees and writes, the first by default; None: all.
        hash: of the key's text. created, expires, revoked: when.
        replaced: hash of the text that a rotation replaced, which holds until `replaced_until`.
    """

    id: str
    name: str
    role: RoleName
    namespaces: tuple[str, ...] | None
    hash: str
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    replaced: str = ""
    replaced_until: datetime | None = None

    def state(self, now: datetime) -> Literal["live", "expired", "revoked"]:
        """Whether it can be used."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "live"

    def told(self, now: datetime) -> dict[str, object]:
        """What may be shown of it."""
        shown = {name: value for name, value in asdict(self).items() if name not in ("hash", "replaced")}
        return {**shown, "state": self.state(now)}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: Literal[1] = 1
    keys: list[Key] = []


def path_of(directory: Path, settings: ServiceSettings) -> Path:
    """Where a memory's keys are kept."""
    return whole_path(settings.keys_file, "keys_file") if settings.keys_file else directory / FILE


class Keys:
    """The keys in a file. There needn't be one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> dict[str, Key]:
        """All keys by id, as the file has them now.

        Raises:
            Corrupt: it isn't a file of keys. BadInput: others than its owner may read or write it.
        """
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            self._seen, self._keys = None, {}
            return self._keys
        except OSError as error:
            raise BadInput(f"can't be read ({error.strerror})", where=str(self.path)) from None
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            if status.st_mode & 0o077:
                raise BadInput(
                    "others than its owner may read or write it", where=str(self.path), hint="chmod 600 it."
                )
            try:
                found = msgspec.json.decode(self.path.read_bytes(), type=_File)
            except (msgspec.DecodeError, UnicodeDecodeError, OSError):
                raise Corrupt("is no file of keys", where=str(self.path), hint="Restore it, or remove it.") from None
            self._keys = {key.id: key for key in found.keys}
            self._seen = seen
        return self._keys

    def find(self, text: str, now: datetime) -> Key | None:
        """The live key of this text."""
        form = _TEXT.fullmatch(text)
        key = self.all().get(form[1]) if form else None
        if key is None or key.state(now) != "live":
            return None
        given = hash_of(text)
        # Both are compared in constant time: how long it takes tells nothing of how much of a hash was right.
        current = hmac.compare_digest(given, key.hash)
        replaced = hmac.compare_digest(given, key.replaced or key.hash)
        within = key.replaced_until is not None and now < key.replaced_until
        return key if current or (replaced and within) else None

    # --- changes ---------------------------------------------------------------------------------------------

    def create(
        self,
        name: str,
        role: RoleName,
        namespaces: Sequence[str] | None,
        now: datetime,
        *,
        lasts: float | str | timedelta | None = None,
    ) -> tuple[Key, str]:
        """A new key, and its text, which nothing keeps.

        Raises:
            BadInput: a name that is none. Conflict: a live key of this name.
        """
        check_name(name, "name")
        names = None if namespaces is None else tuple(dict.fromkeys(check_name(one, "namespace") for one in namespaces))
        if names == ():
            raise BadInput("a key needs a namespace, or all of them", where="namespaces")
        until = _after(now, lasts, "expires") if lasts is not None else None
        with self._changing() as keys:
            if len(keys) >= LIMIT:
                raise BadInput(f"there are {LIMIT:,} keys already", where=str(self.path))
            if any(key.name == name and key.state(now) == "live" for key in keys.values()):
                raise Conflict("a live key has this name", where=name, hint="Rotate or revoke that, or take another.")
            id = secrets.token_hex(6)
            text = _text(id)
            key = Key(id=id, name=name, role=role, namespaces=names, hash=hash_of(text), created=now, expires=until)
            keys[id] = key
        return key, text

    def rotate(self, which: str, now: datetime, *, grace: float | str | timedelta = 0.0) -> tuple[Key, str]:
        """A new text for a live key. The old one holds for the grace, so that its holders can change over."""
        with self._changing() as keys:
            key = _live(keys, which, now)
            text = _text(key.id)
            key = keys[key.id] = replace(
                key, hash=hash_of(text), replaced=key.hash,
                replaced_until=_after(now, grace, "grace"),
            )  # fmt: skip
        return key, text

    def revoke(self, which: str, now: datetime) -> Key:
        """Let a key hold no longer. It stays in the list."""
        with self._changing() as keys:
            key = _live(keys, which, now)
            key = keys[key.id] = replace(key, revoked=now, replaced="", replaced_until=None)
        return key

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """The keys, to be changed; written when the block ends well. One process at a time."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            keys = dict(self.all())
            yield keys
            _put(self.path, msgspec.json.format(msgspec.json.encode(_File(keys=list(keys.values()))), indent=2) + b"\n")
            os.fsync(folder)
        finally:
            os.close(folder)


def hash_of(text: str) -> str:
    """The hash that a key is kept as.

    SHA-256, once: a key's secret is 256 random bits, so there is nothing to guess that a slow hash would slow down, as
    there is with passwords; and it is computed at each request.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _text(id: str) -> str:
    return f"gsvc_{id}_{secrets.token_hex(32)}"


def _after(now: datetime, duration: float | str | timedelta, where: str) -> datetime:
    try:
        return now + timedelta(seconds=seconds(duration, where=where))
    except OverflowError:
        raise BadInput("is longer than there are dates", where=where) from None


def _live(keys: dict[str, Key], which: str, now: datetime) -> Key:
    """A live key by its id, or by its name."""
    for key in keys.values():
        if which in (key.id, key.name) and key.state(now) == "live":
            return key
    raise NotFound("no live key has this id or name", where=which, hint="See `graphsvc keys list`.")


def _put(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
