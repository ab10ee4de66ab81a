"""Who may what: decided in one place, denied by default."""

from __future__ import annotations

import inspect
import itertools

import pytest

from graphsvc.errors import Forbidden
from graphsvc.memory import aio
from graphsvc.service.access import Caller, authorize, binding
from graphsvc.service.operations import NOT_FROM_AFAR, OPERATIONS, Role

GROUPS = {
    "": aio.AsyncMemory, "episodes": aio.AsyncEpisodes, "skills": aio.AsyncSkills, "entities": aio.AsyncEntities,
    "facts": aio.AsyncFacts, "causal": aio.AsyncCausal, "graph": aio.AsyncGraph,
}  # fmt: skip


def test_every_public_verb_is_an_operation_or_said_not_to_be() -> None:
    verbs = {
        f"{group}.{name}".lstrip(".")
        for group, kind in GROUPS.items()
        for name, _ in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }
    assert verbs | {"cypher.write"} == set(OPERATIONS) | set(NOT_FROM_AFAR)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_takes_its_role_its_namespaces_and_its_machine(name: str) -> None:
    operation = OPERATIONS[name]
    for role, namespaces, local in itertools.product(Role, (None, ("a",), ("a", "b")), (False, True)):
        caller = Caller("k", role, namespaces, local)
        if role < operation.role or (namespaces and operation.unbound) or (operation.files and not local):
            with pytest.raises(Forbidden):
                authorize(caller, name)
        else:
            assert authorize(caller, name) is operation


def test_what_is_no_operation_is_forbidden_to_all() -> None:
    for name in ("close", "as_agent", "episodes._new", "_memory", "episodes.__init__", ""):
        with pytest.raises(Forbidden):
            authorize(Caller("k", Role.ADMIN, None, local=True), name)


def test_a_request_is_bound_within_the_namespaces_of_its_key() -> None:
    caller = Caller("k", Role.WRITER, ("a", "b"))
    assert binding(caller, None, ()) == ("a", ("b",))
    assert binding(caller, "b", ()) == ("b", ())
    assert binding(caller, "b", ("a",)) == ("b", ("a",))
    for agent, shared in (("c", ()), ("a", ("c",)), (None, ("c",))):
        with pytest.raises(Forbidden):
            binding(caller, agent, shared)
    assert binding(Caller("k", Role.WRITER), None, ()) == (None, ())
    assert binding(Caller("k", Role.WRITER), "x", ("y",)) == ("x", ("y",))
