"""Skills from the functions of installed Python modules, joined by their calls. Nothing is imported or run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from graphsvc.errors import BadInput, Gone, GraphsvcError
from graphsvc.log.state import Stored
from graphsvc.memory.importing.python_calls import Names
from graphsvc.memory.importing.python_functions import Contents, Function, Outline, contents
from graphsvc.memory.importing.python_modules import NoSourceError, below, read
from graphsvc.memory.importing.report import Acknowledged, ImportReport, Progress, check_batch
from graphsvc.memory.importing.standing import is_live, stored
from graphsvc.model.filters import parse
from graphsvc.model.kinds import KINDS
from graphsvc.model.records import Skill
from graphsvc.model.requests import CreateSkills, NewRecord
from graphsvc.model.skills import VERSIONED

if TYPE_CHECKING:
    from graphsvc.memory.memory import Memory

LINKS_AT_ONCE = 2_000


def import_python(
    memory: Memory,
    modules: Iterable[str],
    *,
    submodules: bool = True,
    private: bool = False,
    retire: bool = False,
    agent: str | None = None,
    dry_run: bool = False,
    batch: int = 500,
    progress: Progress | None = None,
    acknowledged: Acknowledged | None = None,
) -> ImportReport:
    """Make a skill of each function and method in the source of some modules, and link callers to what they call.

    A skill's id and name is the function's full name, its description the docstring, its code the source. Imported
    again, a function that is the same is left alone, one that has changed becomes a new version, and one that is no
    longer there is reported.

    Args:
        memory: to store in.
        modules: names of modules or packages that are installed. submodules: of packages, those in them too.
        private: also names that begin with an underscore.
        retire: delete the skills whose functions are no longer in what was read. Their ids aren't used again.
        agent: namespace.
        dry_run: write nothing, only report.
        batch: functions stored together.
        progress: called after each batch. acknowledged: called with the ids of each batch once it is durable.

    Returns:
        The report. What has no source, isn't there or isn't valid is skipped, with the reason.

    Raises:
        BadInput: for an argument. StorageFull and the like.
    """
    names = [modules] if isinstance(modules, str) else list(modules)
    check_batch(batch)
    if not names or not all(isinstance(name, str) for name in names):
        raise BadInput("expected names of modules", where="modules")
    if not all(name.strip() for name in names):
        raise BadInput("the name is empty", where="modules", hint="Name a module, like json.")
    job = _Job(memory, private, agent, ImportReport(dry_run=dry_run), acknowledged)
    every = [deeper for name in names for deeper in (below(name, private=private) if submodules else (name,))]
    wanted = list(dict.fromkeys(every))
    for index, name in enumerate(wanted):
        job.take(name)
        if len(job.waiting) >= batch:
            job.store()
            if progress:
                progress(index / len(wanted), job.report)
    job.store()
    job.link()
    job.miss(names if submodules else (), set(wanted), retire=retire)
    if progress:
        progress(1.0, job.report)
    return job.report.finish()


class _Job:
    """One import under way: functions that wait to be stored, what the modules' names mean, and the report."""

    def __init__(
        self,
        memory: Memory,
        private: bool,
        agent: str | None,
        report: ImportReport,
        acknowledged: Acknowledged | None,
    ) -> None:
        self.memory = memory
        self.private = private
        self.agent = memory.skills._namespaces.writes(agent)
        self.report = report
        self.acknowledged = acknowledged
        self.waiting: list[Function] = []
        self._outlines: dict[str, Outline] = {}
        self._defined: dict[str, set[str]] = {}
        self._calls: dict[str, tuple[str, str, frozenset[str]]] = {}
        self._revised: set[str] = set()

    # --- reading -------------------------------------------------------------------------------------------

    def take(self, name: str) -> None:
        """Put the module's functions with those that wait, or note why they can't be taken."""
        try:
            found = contents(read(name))
        except NoSourceError as error:
            self.report.skip(name, error.code, str(error))
            return
        self.report.modules += 1
        self._outlines[name] = found.outline
        self._defined[name] = {f"{name}.{qualname}" for qualname in (*found.functions, *found.replaced)}
        self._choose(name, found)

    def _choose(self, name: str, found: Contents) -> None:
        for qualname in found.replaced:
            self.report.read += 1
            hidden = qualname.startswith("_") or "._" in qualname
            why = "another definition of the name stands for it"
            self.report.skip(f"{name}.{qualname}", "replaced", why, listed=self.private or not hidden)
        for function in found.functions.values():
            self.report.read += 1
            if function.private and not self.private:
                self.report.skip(function.id, "private", "its name begins with an underscore", listed=False)
            else:
                self.waiting.append(function)

    # --- storing -------------------------------------------------------------------------------------------

    def store(self) -> None:
        """Create what is new, revise what has changed."""
        new: list[NewRecord] = []
        for function, known in zip(self.waiting, self._known([one.id for one in self.waiting]), strict=True):
            try:
                self._settle(function, known, new)
            except GraphsvcError as error:
                self.report.skip(function.id, error.code, f"{error.where}: {error.what}" if error.where else error.what)
        self.waiting = []
        self.report.stored += len(new)
        if new and not self.report.dry_run:
            self.memory.skills._submit(CreateSkills(new))
        if self.acknowledged and new and not self.report.dry_run:
            self.acknowledged([item.record.id for item in new])

    def _known(self, ids: Sequence[str]) -> list[Stored | None]:
        return stored(self.memory, "skill", [(self.agent, id) for id in ids])

    def _settle(self, function: Function, known: Stored | None, new: list[NewRecord]) -> None:
        """Put a function with the new ones, revise it, or leave it."""
        values = _values(function)
        # Also where it is there already: what would be refused today is reported each time.
        tags = (function.module, function.module.split(".")[0])
        item = self.memory.skills._new({**values, "id": function.id, "agent": self.agent, "tags": tags})
        if known is None:
            new.append(item)
        elif not is_live(known):
            raise Gone("the skill was deleted; its id is not used again")
        else:
            self._revise(known, values)
        owner = function.qualname.rpartition(".")[0]
        self._calls[function.id] = (function.module, owner, function.calls)

    def _revise(self, known: Stored, values: dict[str, Any]) -> None:
        skill = known.record
        assert isinstance(skill, Skill), "looked up among skills"
        changed = {name: values[name] for name in VERSIONED if getattr(skill, name) != values[name]}
        if not changed:
            self.report.already += 1
            return
        if not self.report.dry_run:
            self.memory.skills.revise(known.id, agent=self.agent, **changed)
        self._revised.add(known.id)
        self.report.revised += 1

    # --- linking -------------------------------------------------------------------------------------------

    def link(self) -> None:
        """Link each function to those that it calls; of revised ones, drop the links to what they no longer call."""
        wanted = self._wanted()
        rows = self._rows({id for pair in wanted for id in pair} | self._revised)
        there = {id for id, row in rows.items() if row is not None}
        if self.report.dry_run:
            there |= self._calls.keys()
        pairs = {(source, target) for source, target in wanted if source in there and target in there}
        old = self._linked({source for source, _ in pairs} | self._revised, rows)
        missing = sorted(pairs - old)
        self.report.links = len(missing)
        if self.report.dry_run:
            return
        for start in range(0, len(missing), LINKS_AT_ONCE):
            part = missing[start : start + LINKS_AT_ONCE]
            self.memory.skills.create_many([], links=[(*pair, "calls") for pair in part], agent=self.agent)
        for source, target in sorted(old - pairs):
            if source in self._revised and self._read_here(target):
                self.memory.skills.unlink(source, target, "calls", agent=self.agent)

    # --- what is no longer there ---------------------------------------------------------------------------

    def miss(self, packages: Sequence[str], looked_for: set[str], *, retire: bool) -> None:
        """Note the skills of earlier imports whose functions, or whose modules in these packages, are gone.

        A module that was looked for and couldn't be read tells nothing of its functions.
        """
        roots = [name for name in packages if name in self._outlines]
        gone = []
        for skill in self._imported():
            home = _home(skill)
            if home in self._defined:
                gone += [skill.id] * (skill.id not in self._defined[home])
            elif home not in looked_for and any(self._is_in(home, root) for root in roots):
                gone.append(skill.id)
        self.report.vanished = sorted(gone)
        self.report.retired = len(gone) if retire else 0
        if retire and gone and not self.report.dry_run:
            self.memory.skills.delete(gone, agent=self.agent)

    def _imported(self) -> list[Skill]:
        """Skills that an import has made of modules of the same packages as those read now."""
        tops = sorted({name.split(".")[0] for name in self._outlines})
        log = self.memory._opened.log
        rows, _ = log.mask("skill", parse({"tags": tops}, KINDS["skill"]), (self.agent,))
        found = (skill for skill in log.records(rows).values() if isinstance(skill, Skill))
        return [skill for skill in found if skill.name == skill.id and skill.code]

    def _is_in(self, module: str, package: str) -> bool:
        """Whether reading the package reads that module of it."""
        deeper = module.removeprefix(f"{package}.").split(".")
        return module.startswith(f"{package}.") and (self.private or not any(part[:1] == "_" for part in deeper))

    # --- links that are wanted -----------------------------------------------------------------------------

    def _wanted(self) -> set[tuple[str, str]]:
        """Caller and called, where the sources tell."""
        names = Names(self._outlines)
        return {
            (id, target)
            for id, (module, owner, calls) in self._calls.items()
            for call in calls
            if (target := names.function(call, module, owner)) is not None
        }

    def _rows(self, ids: set[str]) -> dict[str, int | None]:
        """Row numbers of the skills of these ids that exist."""
        ordered = sorted(ids)
        found = self._known(ordered)
        return {id: known.row if known and is_live(known) else None for id, known in zip(ordered, found, strict=True)}

    def _linked(self, sources: set[str], rows: dict[str, int | None]) -> set[tuple[str, str]]:
        """The calls that are linked already."""
        log = self.memory._opened.log
        targets = {
            source: [row for rel, direction, row, _ in log.links_of(number) if (rel, direction) == ("CALLS", "out")]
            for source in sources
            if (number := rows.get(source)) is not None
        }
        ids = log.records(sorted({row for found in targets.values() for row in found}))
        return {(source, ids[row].id) for source, found in targets.items() for row in found if row in ids}

    def _read_here(self, id: str) -> bool:
        """Whether a skill is of a module that was read this time, so that it is known who calls it."""
        parts = id.split(".")
        return any(".".join(parts[:length]) in self._outlines for length in range(1, len(parts)))


def _home(skill: Skill) -> str:
    """The module that a skill's function was in: the longest of its tags that begins its id."""
    return max((tag for tag in skill.tags if skill.id.startswith(f"{tag}.")), key=len, default="")


def _values(function: Function) -> dict[str, Any]:
    return {
        "name": function.id,
        "description": function.description,
        "code": function.code,
        "signature": function.signature,
    }
