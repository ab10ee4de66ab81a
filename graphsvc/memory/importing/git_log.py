"""The history of a git repository, read by the program git: commits, what they changed, and which judge others.

By the program and not by a library: it reads what it has written (packs, SHA-256, work trees, renames), and needs no
dependency that has to keep up with it. It is run without a shell, with a fixed list of arguments, and with everything
turned off by which a repository's own configuration could run another program.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from graphsvc.errors import BadInput, MissingExtra

COMMAND = (
    "git", "--no-pager", "--no-replace-objects", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false",
    "-c", "log.showSignature=false", "-c", "core.hooksPath=/dev/null",
    "-c", "protocol.allow=never",
)  # fmt: skip
FIELDS = ("%H", "%P", "%ct", "%an", "%s", "%b")  # no e-mail: names alone are kept
LOG = (
    "log", "-z", "--raw", "--numstat", "--reverse", "--topo-order", "--find-renames", "--no-abbrev", "--no-color",
    "--no-ext-diff", "--no-textconv", "--no-show-signature", "--ignore-submodules=none", "--encoding=UTF-8",
    f"--format=%x00{'%x00'.join(FIELDS)}%x00", "--end-of-options",
)  # fmt: skip
CHUNK = 1 << 16

_HASH = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Change:
    """One file in a commit.

    Attributes:
        path: of the file after it. old: before it, where it was renamed or copied.
        status: git's letter: A, M, D, R, C, T.
        insertions, deletions: lines; None where the file is binary.
    """

    path: str
    status: str
    old: str | None = None
    insertions: int | None = None
    deletions: int | None = None


@dataclass(slots=True)
class Commit:
    """One commit. `seconds` since 1970 is when it was committed."""

    hash: str
    parents: list[str]
    seconds: str
    author: str
    subject: str
    body: str
    changes: list[Change] = field(default_factory=list)

    @property
    def insertions(self) -> int:
        return sum(change.insertions or 0 for change in self.changes)

    @property
    def deletions(self) -> int:
        return sum(change.deletions or 0 for change in self.changes)


class Repository:
    """A git repository on this machine.

    Args:
        path: of its work tree, a directory in that, or its git directory. revision: whose history is read.

    Raises:
        MissingExtra: git isn't installed. BadInput: there is no repository, or no such revision.
    """

    def __init__(self, path: str | os.PathLike[str], revision: str) -> None:
        self.path = Path(os.fspath(path)).absolute()
        if not self.path.is_dir():
            raise BadInput("is no directory", where=str(self.path))
        if not isinstance(revision, str) or not revision or "\0" in revision:
            raise BadInput(f"expected a branch, tag or hash, got {revision!r}", where="revision")
        top = self._ask("rev-parse", "--show-toplevel", wrong="is no git repository", bare=True)
        self.name = Path(top).name if top else self._bare_name()
        question = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        self.head = self._ask(*question, wrong=f"has no commit {revision!r}")
        self.count = int(self._ask("rev-list", "--count", self.head, wrong="its history can't be read"))

    def _bare_name(self) -> str:
        directory = Path(self._ask("rev-parse", "--absolute-git-dir", wrong="is no git repository"))
        return directory.name.removesuffix(".git") or directory.parent.name

    def _ask(self, *words: str, wrong: str, bare: bool = False) -> str:
        try:
            done = subprocess.run(
                [*COMMAND, "-C", str(self.path), *words], env=_environment(), stdin=subprocess.DEVNULL,
                capture_output=True, check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise MissingExtra("the program git isn't installed", hint="Install git, and try again.") from None
        told = done.stderr.decode(errors="replace").strip()
        if done.returncode and bare and "work tree" in told:
            return ""
        if done.returncode:
            raise BadInput(wrong, where=str(self.path), hint=_last_line(told))
        return done.stdout.decode(errors="backslashreplace").rstrip("\n")

    def commits(self) -> Iterator[Commit]:
        """The commits that the revision holds, each after its parents. Merges name no files: their parents do.

        Raises:
            BadInput: git failed on the way: the repository is damaged.
        """
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen(
                [*COMMAND, "-C", str(self.path), *LOG, self.head], env=_environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors,
            ) as child:  # fmt: skip
                try:
                    assert child.stdout is not None, "a pipe was asked for"
                    yield from _parsed(_pieces(child.stdout))
                except BaseException:
                    child.kill()
                    raise
            if child.returncode:
                errors.seek(0)
                told = errors.read().decode(errors="replace")
                hint = f"{_last_line(told)} What came before was imported; import again when it is mended."
                raise BadInput(f"git failed with {child.returncode}", where=str(self.path), hint=hint)


def _environment() -> dict[str, str]:
    """Ours, without what points git elsewhere; it asks nobody anything and fetches nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1"}


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands between zero bytes."""
    parts: list[bytes] = []
    while chunk := stream.read(CHUNK):
        first, *others = chunk.split(b"\0")
        parts.append(first)
        if others:
            yield b"".join(parts)
            yield from others[:-1]
            parts = [others[-1]]
    if rest := b"".join(parts):
        yield rest


def _parsed(pieces: Iterator[bytes]) -> Iterator[Commit]:
    """A commit begins with its hash; files follow, first as `--raw` tells them, then as `--numstat` does."""
    commit: Commit | None = None
    by_path: dict[str, Change] = {}
    for piece in pieces:
        told = piece.lstrip(b"\n")
        if told.startswith(b":"):
            assert commit is not None, "files follow a commit"
            change = _raw(told, pieces)
            by_path[change.path] = change
            commit.changes.append(change)
        elif b"\t" in told:
            _numstat(told, pieces, by_path)
        elif _HASH.fullmatch(told):
            if commit is not None:
                yield commit
            commit, by_path = _header(told, pieces), {}
    if commit is not None:
        yield commit


def _header(hash: bytes, pieces: Iterator[bytes]) -> Commit:
    parents, seconds, author, subject, body = (next(pieces, b"").decode(errors="replace") for _ in FIELDS[1:])
    return Commit(hash.decode(), parents.split(), seconds, author, subject.strip(), body.strip())


def _raw(told: bytes, pieces: Iterator[bytes]) -> Change:
    status = told.rpartition(b" ")[2][:1].decode()
    first = path_of(next(pieces, b""))
    return Change(path_of(next(pieces, b"")), status, first) if status in "RC" else Change(first, status)


def _numstat(told: bytes, pieces: Iterator[bytes], by_path: dict[str, Change]) -> None:
    insertions, deletions, path = told.split(b"\t", 2)
    if not path:  # renamed: old and new path follow
        next(pieces, b"")
        path = next(pieces, b"")
    change = by_path.get(path_of(path))
    if change is not None and insertions != b"-":
        change.insertions, change.deletions = int(insertions), int(deletions)


def path_of(path: bytes) -> str:
    """A path as a name can hold it: what isn't UTF-8, and control characters, as their numbers."""
    text = path.decode("utf-8", errors="backslashreplace")
    return _OBEYED.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


# --- which commits judge others -------------------------------------------------------------------------------

_REVERTS = re.compile(r"\breverts? (?:commits? )?([0-9a-f]{7,64})\b", re.IGNORECASE)
_FIXES = re.compile(r"\bfix(?:es|ed)?:? (?:commit )?([0-9a-f]{7,64})\b", re.IGNORECASE)
_REVERT_SUBJECT = re.compile(r'Revert "(.*)"$', re.DOTALL)
_FOLLOWS = re.compile(r"(?:(?:fixup|squash|amend)! )+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a later commit says of an earlier one: `how` is "revert" or "fix"."""

    by: str
    of: str
    how: str


class Judging:
    """Finds, commit by commit in their order, which earlier ones each takes back or mends.

    By what messages say: "This reverts commit HASH", `Revert "SUBJECT"`, "Fixes: HASH", "fixup! SUBJECT".
    """

    def __init__(self) -> None:
        self.judgements: list[Judgement] = []
        self._hashes: dict[str, list[str]] = {}
        self._subjects: dict[str, str] = {}

    def see(self, commit: Commit) -> list[str]:
        """Take the next commit; gives hashes that it names as reverted or fixed and that aren't before it."""
        found: dict[str, str] = {}
        unknown: list[str] = []
        for pattern, how in ((_FIXES, "fix"), (_REVERTS, "revert")):
            for named in pattern.findall(f"{commit.subject}\n{commit.body}"):
                earlier = [hash for hash in self._hashes.get(named[:7].lower(), ()) if hash.startswith(named.lower())]
                if len(earlier) == 1:
                    found[earlier[0]] = how
                elif how == "revert" or not (named.isdecimal() or named.isalpha()):  # a number of an issue, or a word
                    unknown.append(named)
        if not found and not unknown:
            found.update(self._by_subject(commit.subject))
        self.judgements.extend(Judgement(commit.hash, of, how) for of, how in found.items())
        self._hashes.setdefault(commit.hash[:7], []).append(commit.hash)
        self._subjects[commit.subject] = commit.hash
        return unknown

    def _by_subject(self, subject: str) -> dict[str, str]:
        for pattern, how in ((_REVERT_SUBJECT, "revert"), (_FOLLOWS, "fix")):
            if (match := pattern.fullmatch(subject)) and (hash := self._subjects.get(match[1].strip())):
                return {hash: how}
        return {}

    def standing(self) -> dict[str, list[Judgement]]:
        """Of each commit that is judged, the judgements that stand: not those of commits that were reverted."""
        taken_back: set[str] = set()
        for judgement in reversed(self.judgements):  # what judges comes later than what it judges
            if judgement.how == "revert" and judgement.by not in taken_back:
                taken_back.add(judgement.of)
        stands: dict[str, list[Judgement]] = {}
        for judgement in self.judgements:
            standing = stands.setdefault(judgement.of, [])
            if judgement.by not in taken_back:
                standing.append(judgement)
        return stands
