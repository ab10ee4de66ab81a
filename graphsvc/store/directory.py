"""The directory of a memory: who owns it, what format it has, whether it can be used at all."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging
import os
import platform
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from graphsvc.config import FORMAT
from graphsvc.errors import (
    BadInput,
    Corrupt,
    GraphsvcError,
    InUse,
    NewerFormat,
    NotAMemory,
    ReadOnly,
    StorageFull,
    Unsupported,
)

logger = logging.getLogger("graphsvc.store")

LOCK = "graphsvc.lock"
SOCKET = "graphsvc.sock"
MANIFEST = "graphsvc.json"
MANIFEST_GONE = (
    "The data is in memory.sqlite and nothing was changed. Put graphsvc.json back from a copy of the directory: it "
    "says which engine and model the memory has. Without a copy, `graphsvc init` another memory with the same ones, "
    "copy its graphsvc.json here, and set the id in it to what `SELECT id FROM memory` gives in memory.sqlite."
)
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre",
    "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "ncpfs", "webdav"})  # fmt: skip


@dataclass(slots=True)
class Manifest:
    """What `graphsvc.json` says.

    Attributes:
        format: version of the directory's layout.
        id: of this memory, for ever.
        engine: graph engine.
        embedding: name, fingerprint, dimension and generation of the model that made the vectors.
        texts: version of the rules which texts are searched.
        stemmer: language of the full text.
        reembedding: the model that vectors are being made anew with, if they are.
    """

    engine: str
    embedding: dict[str, Any]
    texts: int
    stemmer: str
    format: int = FORMAT
    id: str = ""
    created: str = ""
    reembedding: dict[str, Any] | None = None
    snapshots: list[dict[str, Any]] = field(default_factory=list)

    def write(self, directory: Path) -> None:
        """Replace `graphsvc.json`: the old one or the new one is there at any instant."""
        draft = directory / f"{MANIFEST}.new"
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(directory / MANIFEST)
            sync_directory(directory)
        except OSError as error:
            raise unwritable(error, directory) from error


def read_manifest(directory: Path) -> Manifest | None:
    """What `graphsvc.json` says; None if there is none yet.

    Raises:
        NewerFormat: a newer graphsvc wrote it. Corrupt: it can't be read.
    """
    path = directory / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] > FORMAT:
            raise NewerFormat(
                f"the memory has format {content['format']}; this graphsvc knows up to {FORMAT}", where=str(directory)
            )
        return _checked(Manifest(**content))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise unwritable(error, directory) from error
    except (KeyError, TypeError) as error:
        what = "is damaged: it is no object with the entries of a memory"
        raise Corrupt(what, where=str(path), hint=MANIFEST_GONE) from error
    except (OSError, ValueError) as error:
        raise Corrupt(f"is damaged ({error})", where=str(path), hint=MANIFEST_GONE) from error


_EMBEDDING: dict[str, type] = {
    "embedder": str, "runtime": str, "name": str, "fingerprint": str, "dimension": int, "generation": int, "since": int,
}  # fmt: skip


def _checked(manifest: Manifest) -> Manifest:
    """The manifest, if what it says can be. Raises ValueError."""
    fields: dict[str, type] = {"engine": str, "stemmer": str, "id": str, "format": int, "texts": int}
    for name, kind in fields.items():
        if type(getattr(manifest, name)) is not kind:
            raise ValueError(f"{name} is {getattr(manifest, name)!r}")
    for name in ("embedding", "reembedding"):
        content = getattr(manifest, name)
        if content is None and name == "reembedding":
            continue
        for key, kind in _EMBEDDING.items():
            if type(content[key]) is not kind:
                raise ValueError(f"{name}.{key} is {content[key]!r}")
        if content["dimension"] < 1 or content["generation"] < 1:
            raise ValueError(f"{name} has dimension {content['dimension']} and generation {content['generation']}")
    return manifest


def prepare(directory: Path, *, create: bool, allow_network_fs: bool) -> None:
    """Check that a memory can live here, and make the directory if need be.

    Raises:
        NotAMemory: it holds something else, or nothing and `create` is false.
        Unsupported: the platform or the file system. ReadOnly: it can't be made, read or written.
    """
    if platform.system() not in ("Linux", "Darwin"):
        raise Unsupported(
            f"graphsvc runs on Linux and macOS, not on {platform.system()}", hint="Use WSL or a container."
        )
    try:
        there = directory.is_dir()
        if not there and directory.exists():
            raise NotAMemory("is a file, not a directory", where=str(directory))
    except OSError as error:  # something above it can't be looked into
        raise unwritable(error, directory) from error
    if there and not os.access(directory, os.R_OK | os.X_OK):
        raise ReadOnly("can't be read", where=str(directory), hint="Check its permissions.")
    if not (directory / MANIFEST).exists():
        _check_new(directory, create)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(error, directory) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ReadOnly("can't be written", where=str(directory), hint="Check its permissions.")
    kind = file_system(directory)
    if kind in NETWORK_FILE_SYSTEMS and not allow_network_fs:
        raise Unsupported(
            f"lies on a network file system ({kind}), where locks and syncs can't be relied on",
            where=str(directory),
            hint="Use a local disk, or set allow_network_fs if you know that it keeps its promises.",
        )


@contextlib.contextmanager
def whole_or_nothing(directory: Path) -> Iterator[None]:
    """A memory is made here, or opened; where making a new one fails, what was made for it goes."""
    places = (directory, *directory.parents)
    made = [place for place in places if not os.path.exists(place)]
    try:
        yield
    except BaseException:
        if directory in made:
            with contextlib.suppress(OSError, GraphsvcError):
                _unmake(directory)
                for place in made[1:]:
                    place.rmdir()
        raise


def _unmake(directory: Path) -> None:
    """Remove a memory that nothing was ever stored in. Raises InUse where another process makes it its own."""
    lock = DirectoryLock(directory)
    try:
        if _holds_nothing(directory / "memory.sqlite"):
            shutil.rmtree(directory)
    finally:
        lock.release()


def _holds_nothing(log: Path) -> bool:
    if not log.exists():
        return True
    with contextlib.closing(sqlite3.connect(log)) as connection:
        try:
            return connection.execute("SELECT 1 FROM log LIMIT 1").fetchone() is None
        except sqlite3.Error:
            return False  # it can't be told


def _check_new(directory: Path, create: bool) -> None:
    if not create and (directory / "memory.sqlite").exists():
        raise Corrupt("is missing, though there is a memory", where=str(directory / MANIFEST), hint=MANIFEST_GONE)
    if not create:
        raise NotAMemory("holds no memory", where=str(directory))
    if directory.exists():
        ours = (LOCK, SOCKET, "memory.sqlite", "graphsvc.toml", MANIFEST)
        try:
            names = [path.name for path in directory.iterdir()]
        except OSError as error:
            raise unwritable(error, directory) from error
        strange = [name for name in names if not name.startswith((*ours, "hot."))]
        if strange and "memory.sqlite" in names:
            raise Corrupt("is missing, though there is a memory", where=str(directory / MANIFEST), hint=MANIFEST_GONE)
        if strange:
            raise NotAMemory(
                f"holds other things ({strange[0]!r}) and no memory",
                where=str(directory),
                hint="Name an empty directory.",
            )


def file_system(directory: Path) -> str:
    """The type of file system that a directory lies on, as far as the system tells."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    real, best, kind = os.path.realpath(directory), "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split()
        point = parts[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, parts[2]
    return kind


class DirectoryLock:
    """Ownership of a directory: `flock` on one descriptor, held for life.

    What stands in the file is for messages, and says where the owner listens for others; the lock is the kernel's, and
    goes with the process.

    Args:
        shared: whether the owner will listen for other processes.
    """

    def __init__(self, directory: Path, *, shared: bool = False) -> None:
        self.path = directory / LOCK
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unwritable(error, directory) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            said = _read_owner(self._descriptor)
            os.close(self._descriptor)
            raise InUse(
                f"the memory is open in {_owner(said)}",
                where=str(directory),
                hint="Close it there first; one process at a time owns a memory.",
            ) from None
        self.process = os.getpid()
        self._content: dict[str, Any] = {
            "pid": self.process, "host": socket.gethostname(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "shared": shared,
        }  # fmt: skip
        self.say()

    def say(self, **more: Any) -> None:
        """Write into the file who holds it, and more of that."""
        if self._descriptor < 0:
            return
        self._content |= more
        content = self._content
        with contextlib.suppress(OSError):  # only a message: a full disk must not keep the memory shut
            whole = json.dumps(content).encode()
            # In one write, spaces over what was there: who reads it meanwhile sees the one or the other.
            os.pwrite(self._descriptor, whole.ljust(os.fstat(self._descriptor).st_size), 0)
            os.ftruncate(self._descriptor, len(whole))

    def said(self, name: str) -> Any:
        """What was said there."""
        return self._content.get(name)

    def release(self) -> None:
        """Let go. In a forked child only the copy of the descriptor goes; the parent stays the owner."""
        if self._descriptor >= 0:
            if os.getpid() == self.process:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, 0)
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = -1


def _read_owner(descriptor: int) -> dict[str, Any]:
    try:
        content = json.loads(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _owner(said: dict[str, Any]) -> str:
    try:
        return f"process {said['pid']} on {said['host']}, since {said['since']}"
    except KeyError:
        return "another process"


def owner_of(directory: Path) -> dict[str, Any]:
    """What the owner of a directory says of itself: pid, host, since, shared, address. Empty where it says nothing."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        return _read_owner(descriptor)
    finally:
        os.close(descriptor)


def unwritable(error: OSError, path: Path) -> BadInput | ReadOnly | StorageFull:
    """The system's error as one of ours, saying what to do."""
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageFull(f"can't be written ({error.strerror})", where=str(path))
    if error.errno in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EINVAL):
        return BadInput(f"is no usable path ({error.strerror})", where=str(path))
    return ReadOnly(f"can't be written ({error.strerror})", where=str(path), hint="Check its permissions.")


def sync_directory(directory: Path) -> None:
    """Have the disk hold the names in a directory."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_descriptors(path: Path) -> None:
    """Have every descriptor of this file name nothing: in a forked child, whose copies keep the parent's lock."""
    wanted = path.stat()
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        for name in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError):  # the listing's own descriptor is closed by now
                if os.path.samestat(os.fstat(int(name)), wanted):
                    os.dup2(nothing, int(name), inheritable=False)
    finally:
        os.close(nothing)


def set_aside(path: Path) -> Path | None:
    """Rename a damaged file or directory out of the way; its new path, None if there was nothing."""
    if not path.exists():
        return None
    name = f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    target = next(target for target in map(path.with_name, names) if not target.exists())
    path.rename(target)
    for extra in path.parent.glob(f"{path.name}.*"):
        if ".damaged-" not in extra.name:
            extra.rename(target.with_name(target.name + extra.name.removeprefix(path.name)))
    return target


_LACKING = (
    "resource temporarily unavailable", "cannot allocate memory", "mmap for size", "too many open files",
    "failed to spawn", "can't start new thread",
)  # fmt: skip


def lacks_resources(error: BaseException) -> bool:
    """Whether the system gave a library no memory, thread or file handle: that says nothing of the file it opened.

    By what it says, for Kuzu, tantivy and LanceDB raise RuntimeError and ValueError. A length that can't be allocated
    (`bad_alloc`) isn't among it: damaged files ask for it.
    """
    said = str(error).lower()
    return any(sign in said for sign in _LACKING)
