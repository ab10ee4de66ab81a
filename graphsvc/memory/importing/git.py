"""A git repository: commits as episodes, files as entities, reverts and fixes as judgements of what came before."""

from __future__ import annotations

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from graphsvc.errors import BadInput, GraphsvcError
from graphsvc.memory.importing.git_log import Change, Commit, Judgement, Judging, Repository
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress
from graphsvc.memory.importing.standing import is_live, stored
from graphsvc.memory.importing.storing import Storing, said
from graphsvc.model.kinds import KINDS
from graphsvc.model.names import check_name, entity_id
from graphsvc.model.requests import AmendEpisode, EpisodeLink, LinkEpisodes
from graphsvc.model.validate import check_values

if TYPE_CHECKING:
    from graphsvc.log.state import Stored
    from graphsvc.memory.memory import Memory

LINKS_AT_ONCE = 5_000
SHOWN_FILES = 100
"""Files that an episode's output names; all are joined to it, and the output says how many more there are."""

REWARDS = {"revert": 0.0, "fix": 0.5}
WORDS = {"revert": "Reverted", "fix": "Fixed"}


def import_git(
    memory: Memory,
    path: str | os.PathLike[str] = ".",
    *,
    revision: str = "HEAD",
    name: str | None = None,
    agent: str | None = None,
    dry_run: bool = False,
    batch: int = 500,
    progress: Progress | None = None,
    acknowledged: Acknowledged | None = None,
) -> ImportReport:
    """Make an episode of each commit of a git repository, joined to the files that it changed.

    The subject is the task, the rest of the message the input, what changed the output; the session is the repository.
    A commit counts as a success of reward 1 while it stands. One that a later commit reverts ("This reverts commit …")
    fails with reward 0, one that a later commit mends ("Fixes: …", "fixup! …") fails with reward 0.5; the critique is
    what the later one says, and the later one is its evidence. Of people the authors' names are kept, and no e-mail.

    Files are entities of kind `file`, called `REPOSITORY/PATH`. Imported again, only new commits are added; a commit
    already judged is judged anew only when another commit judges it.

    Args:
        memory: to store in. path: of the repository. revision: whose history is read: a branch, tag or hash.
        name: of the repository, if not that of its directory. Ids are made of it and the commit's hash.
        agent: namespace.
        dry_run: store nothing, only report.
        batch: commits stored together.
        progress: called after each batch. acknowledged: called with the ids of each batch once it is durable.

    Returns:
        The report; what can't be taken is skipped, with the reason.

    Raises:
        BadInput: it is no repository, or damaged. MissingExtra: git isn't installed. StorageFull and the like.
    """
    repository = Repository(path, revision)
    called = check_name(name if name is not None else repository.name, "name")
    report = ImportReport(dry_run=dry_run)
    job = _Job(memory, called, Storing(memory, agent, report, acknowledged, batch))
    try:
        for commit in repository.commits():
            job.take(commit)
            if job.storing.is_full:
                job.store()
                if progress:
                    progress(min(1.0, report.read / max(1, repository.count)), report)
    finally:
        job.store()
    job.judge()
    if progress:
        progress(1.0, report)
    return report.finish()


class _Job:
    """One import under way: the commits that wait to be stored, and what is known of those before."""

    def __init__(self, memory: Memory, repository: str, storing: Storing) -> None:
        self.memory = memory
        self.repository = repository
        self.storing = storing
        self.report = storing.report
        self.judging = Judging()
        self._messages: dict[str, str] = {}
        self._waiting: dict[str, Commit] = {}
        self._files: dict[str, bool] = {}
        self._same: Counter[str] = Counter()

    def take(self, commit: Commit) -> None:
        """Put the commit with those that wait, and see what it says of earlier ones."""
        self.report.read += 1
        place = f"commit {commit.hash[:12]}"
        judged_before = len(self.judging.judgements)
        for unknown in self.judging.see(commit):
            why = f"it names {unknown} as reverted or fixed, which isn't before it in this history"
            self.report.skip(place, "unknown_commit", why)
        said_of = self.judging.judgements[judged_before:]
        if said_of:
            self._messages[commit.hash] = "\n\n".join(filter(None, (commit.subject, commit.body)))
        try:
            self.storing.take(place, self._values(commit, said_of))
        except GraphsvcError as error:
            self.storing.refuse(place, error)
            return
        self._waiting[self._id(commit.hash)] = commit

    def _id(self, hash: str) -> str:
        return f"{self.repository}@{hash}"

    def _values(self, commit: Commit, said_of: list[Judgement]) -> dict[str, Any]:
        try:
            # A microsecond each keeps the order of commits of one second: a rebase makes many.
            at = datetime.fromtimestamp(int(commit.seconds), UTC) + timedelta(microseconds=self._same[commit.seconds])
        except (ValueError, OverflowError, OSError):
            raise BadInput(f"the commit's time is out of range: {commit.seconds}", where="at") from None
        self._same[commit.seconds] += 1
        kinds = {judgement.how for judgement in said_of} | ({"merge"} if len(commit.parents) > 1 else set())
        return {
            "id": self._id(commit.hash), "session": self.repository, "at": at,
            "task": commit.subject.replace("\0", "") or "(a commit without a message)", "input": commit.body,
            "output": _summary(commit), "success": True, "reward": 1.0, "tags": sorted({"commit", *kinds}),
            "metadata": {
                "repository": self.repository, "hash": commit.hash, "parents": commit.parents[:64],
                "author": commit.author, "files": len(commit.changes), "insertions": commit.insertions,
                "deletions": commit.deletions,
            },
        }  # fmt: skip

    # --- storing -------------------------------------------------------------------------------------------

    def store(self) -> None:
        """Store the commits that wait, the files that they changed, and the edges between them."""
        there = {item.record.id for item in self.storing.store()}
        commits = {id: commit for id, commit in self._waiting.items() if id in there}
        self._waiting = {}
        self._keep_files(commits)
        links = [
            EpisodeLink("ABOUT", (self.storing.agent, id), (self.storing.agent, self._file_id(path)))
            for id, commit in commits.items()
            for path in _paths(commit)
            if self._files[path]
        ]
        self._link(links)

    def _file_id(self, path: str) -> str:
        return entity_id("file", f"{self.repository}/{path}")

    def _keep_files(self, commits: dict[str, Commit]) -> None:
        """Make entities of the files that are new to this import; those that can't be are reported."""
        rows: list[dict[str, Any]] = []
        for commit in commits.values():
            for path in _paths(commit):
                if path not in self._files:
                    self._files[path] = True
                    if (row := self._file(path, commit)) is not None:
                        rows.append(row)
        known = stored(self.memory, "entity", [(self.storing.agent, row["id"]) for row in rows])
        for row, entity in zip(rows, known, strict=True):
            if entity is not None and not is_live(entity):
                self._leave_out(row["metadata"]["path"], "gone", "the entity was deleted; its id is not used again")
        new = [row for row, entity in zip(rows, known, strict=True) if entity is None]
        self.report.entities += len(new)
        if new and not self.report.dry_run:
            self.memory.entities.upsert_many(new, agent=self.storing.agent)

    def _file(self, path: str, commit: Commit) -> dict[str, Any] | None:
        name = f"{self.repository}/{path}"
        try:
            check_name(name, "name")
        except GraphsvcError as error:
            self._leave_out(path, error.code, said(error))
            return None
        at = datetime.fromtimestamp(int(commit.seconds), UTC)
        about = {"repository": self.repository, "path": path}
        return {"id": self._file_id(path), "kind": "file", "name": name, "at": at, "metadata": about}

    def _leave_out(self, path: str, code: str, why: str) -> None:
        self._files[path] = False
        self.report.skip(f"file {path[:200]}", code, why)

    def _link(self, links: list[EpisodeLink]) -> None:
        for start in range(0, len(links), LINKS_AT_ONCE):
            part = links[start : start + LINKS_AT_ONCE]
            if self.report.dry_run:
                self.report.links += self._missing(part)
            else:
                self.report.links += self.memory.episodes._submit(LinkEpisodes(part))

    def _missing(self, links: list[EpisodeLink]) -> int:
        """How many of these edges aren't there."""
        there = {ref: one.row for ref, one in self._known("episode", [link.source for link in links]).items()}
        far = {"ABOUT": "entity", "EVIDENCE": "episode"}
        ends = {
            kind: self._known(kind, [link.target for link in links if link.rel == rel]) for rel, kind in far.items()
        }
        edges = {
            (ref, rel, row)
            for ref, source in there.items()
            for rel, way, row, _ in self.memory._opened.log.links_of(source)
            if way == "out"
        }
        targets = [ends[far[link.rel]].get(link.target) for link in links]
        return sum(
            target is None or (link.source, link.rel, target.row) not in edges
            for link, target in zip(links, targets, strict=True)
        )

    def _known(self, kind: str, refs: list[tuple[str, str]]) -> dict[tuple[str, str], Stored]:
        unique = list(dict.fromkeys(refs))
        found = stored(self.memory, kind, unique)
        return {ref: one for ref, one in zip(unique, found, strict=True) if one is not None and is_live(one)}

    # --- judging -------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Amend the episodes of commits that later ones take back or mend, and join them to these.

        An episode that is joined to all its judges already was judged before; whatever became of it since stays.
        """
        judges_of: dict[str, list[str]] = {}
        for judgement in self.judging.judgements:
            judges_of.setdefault(judgement.of, []).append(judgement.by)
        standing = self.judging.standing()
        for hash in judges_of:
            # Who takes back what took it back judges it, too.
            judges: dict[str, None] = {}
            waiting = [hash]
            while waiting:
                new = [by for by in judges_of.get(waiting.pop(), ()) if by not in judges]
                judges.update(dict.fromkeys(new))
                waiting.extend(new)
            self._judge(hash, list(judges), standing[hash])

    def _judge(self, hash: str, judges: list[str], standing: list[Judgement]) -> None:
        agent = self.storing.agent
        ref = (agent, self._id(hash))
        known = self._known("episode", [ref, *((agent, self._id(judge)) for judge in judges)])
        links = [EpisodeLink("EVIDENCE", ref, (agent, self._id(judge))) for judge in judges]
        links = [link for link in links if (link.source in known and link.target in known) or self.report.dry_run]
        missing = self._missing(links)
        if not missing:
            return
        self.report.amended += 1
        if self.report.dry_run:
            self.report.links += missing
            return
        try:
            values = check_values(KINDS["episode"], self._verdict(standing), self.memory._opened.limits)
            self.memory.episodes._submit(AmendEpisode(ref, values))
        except GraphsvcError as error:
            self.report.amended -= 1
            self.report.skip(f"commit {hash[:12]}", error.code, said(error))
            return
        self._link(links)

    def _verdict(self, standing: list[Judgement]) -> dict[str, Any]:
        if not standing:
            return {"success": True, "reward": 1.0, "critique": None}
        said_of = [f"{WORDS[one.how]} by {one.by[:12]}: {self._messages[one.by]}" for one in standing]
        return {
            "success": False,
            "reward": min(REWARDS[one.how] for one in standing),
            "critique": "\n\n".join(said_of),
        }


def _paths(commit: Commit) -> list[str]:
    """The files that a commit is about: also what they were called before."""
    paths = (path for change in commit.changes for path in (change.path, change.old) if path)
    return list(dict.fromkeys(paths))


def _summary(commit: Commit) -> str:
    """What a commit changed, a line a file."""
    if not commit.changes:
        return f"merge of {len(commit.parents)} lines of work" if len(commit.parents) > 1 else "no file changed"
    lines = [f"{len(commit.changes)} files changed, {commit.insertions} insertions, {commit.deletions} deletions"]
    lines.extend(map(_line, commit.changes[:SHOWN_FILES]))
    if len(commit.changes) > SHOWN_FILES:
        lines.append(f"and {len(commit.changes) - SHOWN_FILES:,} more files")
    return "\n".join(lines)


def _line(change: Change) -> str:
    size = "binary" if change.insertions is None else f"+{change.insertions} -{change.deletions}"
    path = f"{change.old} → {change.path}" if change.old else change.path
    return f"{change.status} {size} {path}"
