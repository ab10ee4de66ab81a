"""Git repositories for tests, written by `git fast-import`: thousands of commits in a second."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

START = 1_700_000_000
PERSON = b"Ada Lovelace <ada@example.org>"


def git(path: Path, *words: str, input: bytes = b"") -> str:
    """Run git there, away from the configuration of this machine."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {**plain, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", "-C", str(path), *words], input=input, capture_output=True, check=True, env=environment)
    return done.stdout.decode(errors="replace").strip()


@dataclass
class History:
    """A history under way. Its hashes are computed here as git does, so that messages can name earlier commits."""

    path: Path
    hashes: list[str] = field(default_factory=list)
    _stream: list[bytes] = field(default_factory=list)
    _trees: list[dict[bytes, bytes]] = field(default_factory=lambda: [{}])

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True)
        git(self.path, "init", "-q", "-b", "main", ".")

    def commit(
        self,
        message: str | bytes,
        files: dict[bytes, bytes | None],
        *,
        parents: list[int] | None = None,
        seconds: int | None = None,
    ) -> str:
        """Add a commit on the last one, or on those parents; a file of None goes. Gives its hash."""
        number = len(self.hashes)
        base = parents if parents is not None else [number - 1] if number else []
        tree = dict(self._trees[base[0] + 1] if base else {})
        for name, content in files.items():
            tree.pop(name, None) if content is None else tree.update({name: content})
        self._trees.append(tree)
        text = message.encode() if isinstance(message, str) else message
        when = b"%d +0000" % (START + 60 * number if seconds is None else seconds)
        hash = self._hash(tree, [self.hashes[parent] for parent in base], when, text)
        self._write(number, base, when, text, files)
        self.hashes.append(hash)
        return hash

    def _hash(self, tree: dict[bytes, bytes], parents: list[str], when: bytes, text: bytes) -> str:
        lines = [b"tree " + _tree(tree).hex().encode(), *(b"parent " + parent.encode() for parent in parents)]
        lines += [b"author " + PERSON + b" " + when, b"committer " + PERSON + b" " + when]
        return _object(b"commit", b"\n".join(lines) + b"\n\n" + text).hex()

    def _write(
        self, number: int, base: list[int], when: bytes, text: bytes, files: dict[bytes, bytes | None]
    ) -> None:
        out = self._stream
        out.append(b"commit refs/heads/main\nmark :%d\n" % (number + 1))
        out.append(b"author %s %s\ncommitter %s %s\n" % (PERSON, when, PERSON, when))
        out.append(b"data %d\n%s\n" % (len(text), text))
        for index, parent in enumerate(base):
            out.append(b"%s :%d\n" % (b"from" if index == 0 else b"merge", parent + 1))
        for name, content in files.items():
            quoted = b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
            if content is None:
                out.append(b"D %s\n" % quoted)
            else:
                out.append(b"M 100644 inline %s\ndata %d\n%s\n" % (quoted, len(content), content))

    def write(self) -> Path:
        """Write it all, check that the hashes are git's, and give the path."""
        git(self.path, "fast-import", "--quiet", "--force", input=b"".join(self._stream))
        assert git(self.path, "rev-parse", "main") == self.hashes[-1]
        return self.path


def _object(sort: bytes, data: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0%s" % (sort, len(data), data)).digest()


def _tree(files: dict[bytes, bytes]) -> bytes:
    folders: dict[bytes, dict[bytes, bytes]] = {}
    entries: list[tuple[bytes, bytes]] = []
    for name, content in files.items():
        folder, slash, rest = name.partition(b"/")
        if slash:
            folders.setdefault(folder, {})[rest] = content
        else:
            entries.append((name, b"100644 %s\0%s" % (name, _object(b"blob", content))))
    entries += [(name + b"/", b"40000 %s\0%s" % (name, _tree(below))) for name, below in folders.items()]
    return _object(b"tree", b"".join(entry for _, entry in sorted(entries)))


def long_history(path: Path, count: int = 1_200, seed: int = 4) -> tuple[Path, dict[str, str], list[str]]:
    """A repository of `count` commits on forty files: some revert an earlier one, some fix one.

    Returns:
        Its path, how each judged commit is judged, and all hashes in order.
    """
    chance = random.Random(seed)
    history = History(path)
    judged: dict[str, str] = {}
    plain: list[int] = []
    for number in range(count):
        name = b"src/part%d/file%d.py" % (number % 5, chance.randrange(8))
        content = b"".join(b"line %d\n" % chance.randrange(1000) for _ in range(6))
        earlier = chance.choice(plain) if len(plain) > 20 else None
        what = chance.random()
        if earlier is not None and what < 0.05 and history.hashes[earlier] not in judged:
            hash = history.hashes[earlier]
            judged[hash] = "revert"
            message = f'Revert "Change {earlier}"\n\nThis reverts commit {hash}.\nIt broke the build.\n'
        elif earlier is not None and what < 0.1 and history.hashes[earlier] not in judged:
            hash = history.hashes[earlier]
            judged[hash] = "fix"
            message = f"Mend what {number} broke\n\nAn index was off by one.\n\nFixes: {hash[:12]}\n"
        else:
            plain.append(number)
            message = f"Change {number}\n\nWhy {number} was needed.\n"
        history.commit(message, {name: content})
    return history.write(), judged, history.hashes
