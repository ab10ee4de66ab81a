"""The one write transaction of the graph: what runs in it, and that nothing does after an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from graphsvc.cypher.growth import check_growth
from graphsvc.cypher.parse import parse
from graphsvc.cypher.rules import check_statement
from graphsvc.cypher.syntax import Query
from graphsvc.cypher.tokens import parameters_of, tokens
from graphsvc.cypher.visible import visible
from graphsvc.errors import (
    BadInput,
    EngineError,
    GraphsvcError,
)
from graphsvc.store.answers import Answer, graph_answer, plain_answer
from graphsvc.store.arrow import pa
from graphsvc.store.connection import Connection, Rows, check_parameters, fetched
from graphsvc.store.tables import check_times, defines, read_tables


class CommitUnclear(Exception):
    """COMMIT failed. What it should have committed may be there all the same: read `applied` to learn."""


class Transaction:
    """The one write transaction. Made by `Engine.transaction`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._failed: GraphsvcError | None = None
        self.defines = False

    def execute(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int | None = None,
        users: bool = False,
    ) -> Rows:
        """One statement inside the transaction, at most `limit` rows of it. Without a time limit unless one is given:
        replay has none.

        Args:
            users: whether it comes from outside. `check_write` has judged it before it was logged; what its arguments
                are, only the tables tell that there are now.

        Raises:
            NotAllowed: a function of a user's statement would be given what ends the process; nothing was run.
            BadInput: wrong parameters.
            EngineError: the engine failed it; nothing of the transaction will be kept.
        """
        text, values = self._judged(statement, parameters, users)
        return cast(Rows, self._run(text, values, timeout, lambda result: fetched(result, limit)))

    def answer(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        limit: int = 1_000_000,
        users: bool = False,
    ) -> Answer:
        """The same, with what it returns as `Engine.answer` gives it."""
        text, values = self._judged(statement, parameters, users)

        def gather(result: Any) -> Answer:
            return graph_answer(result, limit, self._ask, self._check) or plain_answer(result, limit, self._check)

        return cast(Answer, self._run(text, values, timeout, gather))

    def _judged(
        self, statement: str, parameters: Mapping[str, Any] | None, users: bool
    ) -> tuple[str, dict[str, Any]]:
        """What the engine is to be given: the statement, and the values of its parameters."""
        check_statement(statement)
        values = check_parameters(statement, parameters)
        if users and isinstance(parsed := parse(statement), Query):
            tables = read_tables(lambda asked: fetched(self._connection.run(asked, {}, None)).dicts())
            check_growth(statement, parsed, values, tables.columns, writes=True)
            statement = visible(statement, parsed, tables.columns, tables.nodes, tables.ends)
        return statement, values

    def _ask(self, statement: str, values: dict[str, Any]) -> pa.Table:
        return self._run(statement, values, None, lambda result: result.get_as_arrow(chunk_size=100_000))

    def bulk_load(self, statement: str, rows: pa.Table) -> int:
        """A `LOAD FROM $rows … RETURN count(*)` over an Arrow table: how many rows it did.

        A row whose MATCH finds nothing is dropped by the engines in silence, so callers compare the count.
        """
        return self._count(self.bulk_read(statement, rows)) if rows.num_rows else 0

    def bulk_read(self, statement: str, rows: pa.Table, *, timeout: float | None = None) -> Rows:
        """A `LOAD FROM $rows … RETURN …` over an Arrow table that isn't empty: what it returned."""
        check_statement(statement)
        if parameters_of(statement) != {"rows"}:
            raise BadInput("takes $rows and nothing else", where="statement")
        return cast(Rows, self._run(statement, {"rows": rows}, timeout))

    def each(self, statement: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """A statement that ends in `RETURN count(*)`, once for each row of parameters: how many it did in all.

        For a handful of rows this is far faster than `bulk_load`, which on Kuzu reads whole tables.
        """
        check_statement(statement)
        return sum(self._count(self._run(statement, check_parameters(statement, row), None)) for row in rows)

    @staticmethod
    def _count(rows: Rows) -> int:
        row = rows.one()
        return 0 if row is None else int(row[0])

    def _run(
        self,
        statement: str,
        parameters: dict[str, Any],
        timeout: float | None,
        gather: Callable[[Any], Any] | None = None,
    ) -> Any:
        # After an error the engine has rolled back and would run what follows in auto-commit.
        self._check()
        if tokens(statement)[0].word == "COPY":
            # COPY of relationships and then ROLLBACK leaves Kuzu's table empty for good.
            raise BadInput("COPY can't share a transaction", where="statement")
        self.defines = self.defines or defines(statement)
        try:
            result = self._connection.run(statement, parameters, timeout)
            try:
                check_times(result)
                return fetched(result) if gather is None else gather(result)
            finally:
                result.close()
        except GraphsvcError as error:
            self._failed = error
            raise

    def _check(self) -> None:
        if self._failed is not None:
            raise EngineError("the transaction failed before", hint=str(self._failed))
