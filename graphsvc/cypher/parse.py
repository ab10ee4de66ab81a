"""A statement, parsed: the clauses that read and write, and the DDL of tables. What else the engines know isn't here.

No kept parser reads the dialect of the engines, so this follows their grammar by hand: an allow-list. A statement that
isn't in this language is refused, whatever it would have done.
"""

from __future__ import annotations

from functools import lru_cache

from graphsvc.cypher.expressions import Reader
from graphsvc.cypher.syntax import (
    AlterTable,
    Assignment,
    Call,
    Clause,
    Column,
    CommentOn,
    Create,
    CreateTable,
    Delete,
    DropTable,
    Expr,
    Item,
    Match,
    Merge,
    Projection,
    Query,
    Set,
    Statement,
    Unwind,
    every_clause,
    height,
    of_clause,
)
from graphsvc.cypher.tokens import place
from graphsvc.errors import NotAllowed, TooLarge

MAX_HEIGHT = 200
"""How many operators may lie within one another: `a OR b OR c` are two."""

REFUSED = {
    "ALTER": "ddl", "ANALYZE": "statement", "ATTACH": "attach", "BEGIN": "transaction", "CHECKPOINT": "transaction",
    "COMMIT": "transaction", "COPY": "files", "DETACH": "attach", "EXPORT": "files", "FORCE": "extension",
    "IMPORT": "files", "INSTALL": "extension", "LOAD": "files", "PROFILE": "profile", "ROLLBACK": "transaction",
    "UNINSTALL": "extension", "UPDATE": "extension", "USE": "attach", "FOREACH": "clause", "REMOVE": "clause",
}  # fmt: skip
"""Words that begin what is in no language of ours, and the rule that says so."""


@lru_cache(maxsize=512)
def parse(statement: str) -> Statement:
    """A statement.

    Raises:
        NotAllowed: it isn't one, or one of those that nobody may run here; `rule` says which.
        TooLarge, BadInput: as `tokens`.
    """
    reader = _Statement(statement)
    found = reader.statement_of()
    reader.takes(";")
    if reader.sees(";") or (reader.now.kind != "end" and reader.tokens[reader.i - 1].word == ";"):
        raise reader.error("one statement at a time", at=reader.now.at, rule="one_statement")
    if reader.now.kind != "end":
        raise reader.refused()
    if isinstance(found, Query):
        for clause in every_clause(found):
            _check_height(statement, clause)
    return found


def _check_height(statement: str, clause: Clause) -> None:
    """What follows goes through expressions by calling itself for what is within them."""
    if height(of_clause(clause)) > MAX_HEIGHT:
        raise TooLarge(
            f"more than {MAX_HEIGHT} operators are strung together",
            where=place(statement, clause.at),
            hint="x IN ['a', 'b'] for many OR; lists as parameters; WITH between parts.",
        )


class _Statement(Reader):
    def statement_of(self) -> Statement:
        if self.now.kind == "end":
            raise self.error("is empty", at=0)
        if self.sees("CREATE", "NODE", "TABLE") or self.sees("CREATE", "REL", "TABLE"):
            return self._create_table()
        if self.sees("ALTER", "TABLE"):
            return self._alter_table()
        if self.sees("DROP", "TABLE"):
            return self._drop_table()
        if self.sees("COMMENT", "ON", "TABLE"):
            return self._comment()
        explain = self.takes("EXPLAIN")
        if explain:
            self.takes("LOGICAL")
        parts = [self._part()]
        while self.takes("UNION"):
            self.takes("ALL")
            parts.append(self._part())
        return Query(tuple(parts), explain)

    def refused(self) -> NotAllowed:
        """What to say where no clause begins that may."""
        word = self.now.word
        if self.sees("CALL") and self.ahead(2).word == "=":
            return self.error("CALL can't change settings", at=self.now.at, rule="settings")
        if word == "CREATE" and self.ahead().word in ("MACRO", "SEQUENCE", "TYPE", "USER", "ROLE", "GRAPH", "INDEX"):
            return self.error(f"CREATE {self.ahead().word} isn't allowed", at=self.now.at, rule="ddl")
        if word == "DROP":
            return self.error("DROP is for tables alone", at=self.now.at, rule="ddl")
        if word in REFUSED:
            return self.error(f"{word} isn't allowed", at=self.now.at, rule=REFUSED[word])
        return self.error("expected a clause, or the end")

    # clauses

    def _part(self) -> tuple[Clause, ...]:
        clauses: list[Clause] = []
        while (clause := self._clause()) is not None:
            if clauses and isinstance(clauses[-1], Projection) and clauses[-1].final:
                raise self.error("RETURN ends a query", at=clause.at)
            clauses.append(clause)
        last = clauses[-1] if clauses else None
        if last is None or (self.now.kind != "end" and self.now.word not in (";", "UNION")):
            raise self.refused()
        ends = isinstance(last, Create | Merge | Set | Delete | Call) or (isinstance(last, Projection) and last.final)
        if not ends:
            raise self.error("a query ends in RETURN or in a write")
        return tuple(clauses)

    def _clause(self) -> Clause | None:
        at = self.now.at
        if self.takes("MATCH"):
            return self._match(at, False)
        if self.takes("OPTIONAL", "MATCH"):
            return self._match(at, True)
        if self.takes("UNWIND"):
            expr = self.expression()
            self.expects("AS")
            return Unwind(at, expr, self.name("a variable"))
        if self.takes("WITH"):
            return self._projection(at, False)
        if self.takes("RETURN"):
            return self._projection(at, True)
        if self.sees("CALL") and self.ahead(2).word == "(":
            return self._procedure()
        if self.sees("CREATE", "("):
            self.step()
            return Create(at, self.paths())
        if self.sees("CREATE") and self.ahead(2).word == "=":
            self.step()
            return Create(at, self.paths())
        if self.takes("MERGE"):
            return self._merge(at)
        if self.takes("SET"):
            return Set(at, self._assignments())
        if self.sees("DELETE") or self.sees("DETACH", "DELETE"):
            detach = self.takes("DETACH")
            self.step()
            return Delete(at, self.listed(lambda: self.name("a variable")), detach)
        return None

    def _match(self, at: int, optional: bool) -> Match:
        paths = self.paths()
        where = self.expression() if self.takes("WHERE") else None
        hint = self.now.at if self.takes("HINT") else None
        if hint is not None:
            self._join()
        return Match(at, paths, where, optional, hint)

    def _join(self) -> None:
        """The order of joins that a statement asks for: `(a JOIN b) JOIN c`."""
        if self.takes("("):
            self._join()
            self.expects(")")
        else:
            self.name("a variable")
        while self.takes("JOIN") or self.takes("MULTI_JOIN"):
            if self.sees("("):
                self._join()
            else:
                self.name("a variable")

    def _projection(self, at: int, final: bool) -> Projection:
        distinct = self.takes("DISTINCT")
        items: tuple[Item, ...] = ()
        star = self.takes("*")
        if not star or self.takes(","):
            items = self.listed(self._item)
        order: tuple[Expr, ...] = ()
        if self.takes("ORDER", "BY"):
            order = self.listed(self._sorting)
        skip = self.expression() if self.takes("SKIP") else None
        limit = self.expression() if self.takes("LIMIT") else None
        where = self.expression() if not final and self.takes("WHERE") else None
        return Projection(at, final, items, star, distinct, order, skip, limit, where)

    def _item(self) -> Item:
        expr = self.expression()
        return Item(expr, self.name() if self.takes("AS") else "")

    def _sorting(self) -> Expr:
        expr = self.expression()
        if self.now.word in ("ASC", "ASCENDING", "DESC", "DESCENDING"):
            self.step()
        return expr

    def _procedure(self) -> Call:
        at = self.step().at
        name = self.now
        self.name("the name of a function")
        self.expects("(")
        args = () if self.sees(")") else self.listed(self._argument)
        self.expects(")")
        where = self.expression() if self.takes("WHERE") else None
        yields = self.listed(self._yielded) if self.takes("YIELD") else ()
        return Call(at, name.word or name.value.upper(), args, where, yields)

    def _yielded(self) -> tuple[str, str]:
        name = self.name()
        return name, self.name() if self.takes("AS") else name

    def _merge(self, at: int) -> Merge:
        paths = self.paths()
        created: tuple[Assignment, ...] = ()
        matched: tuple[Assignment, ...] = ()
        while self.sees("ON"):
            if self.takes("ON", "CREATE", "SET"):
                created += self._assignments()
            else:
                self.expects("ON", "MATCH", "SET")
                matched += self._assignments()
        return Merge(at, paths, created, matched)

    def _assignments(self) -> tuple[Assignment, ...]:
        if self.sees_name() and self.ahead().word == "=":
            at, variable = self.now.at, self.name()
            self.expects("=", "{")
            pairs = self.listed(self.pair)
            self.expects("}")
            return tuple(Assignment(at, variable, key, value) for key, value in pairs)
        return self.listed(self._assignment)

    def _assignment(self) -> Assignment:
        at = self.now.at
        variable = self.name("a variable")
        self.expects(".")
        key = self.name("the name of a property")
        self.expects("=")
        return Assignment(at, variable, key, self.expression())

    # tables

    def _create_table(self) -> CreateTable:
        at = self.step().at
        edges = self.step().word == "REL"
        self.expects("TABLE")
        self.takes("GROUP")
        self.takes("IF", "NOT", "EXISTS")
        name = self.name("the name of a table")
        if self.sees("AS"):
            raise self.error("a table is made of columns, not of a query", at=self.now.at, rule="ddl")
        self.expects("(")
        ends: tuple[tuple[str, str], ...] = ()
        columns: list[Column] = []
        key = ""
        if edges:
            ends = self._ends()
        while (edges and self.takes(",")) or (not edges and not self.sees(")")):
            if not edges and self.takes("PRIMARY", "KEY", "("):
                key = self.name("the name of a column")
                self.expects(")")
            elif edges and self.ahead().word == ")":
                self.name("a constraint")  # MANY_ONE and the like
            else:
                columns.append(self._column())
            if not edges and not self.takes(","):
                break
        self.expects(")")
        key = key or next((column.name for column in columns if column.key), "")
        return CreateTable(at, name, tuple(columns), key, ends)

    def _ends(self) -> tuple[tuple[str, str], ...]:
        ends = [self._pair_of_ends()]
        while self.sees(",", "FROM") and self.ahead(3).word == "TO":
            self.step()
            ends.append(self._pair_of_ends())
        return tuple(ends)

    def _pair_of_ends(self) -> tuple[str, str]:
        self.expects("FROM")
        source = self.name("the name of a table")
        self.expects("TO")
        return source, self.name("the name of a table")

    def _column(self) -> Column:
        at = self.now.at
        name = self.name("the name of a column")
        kind = self.type_name()
        default = self.expression() if self.takes("DEFAULT") else None
        return Column(at, name, kind.upper(), default, self.takes("PRIMARY", "KEY"))

    def _alter_table(self) -> AlterTable:
        at = self.step().at
        self.step()
        name = self.name("the name of a table")
        if self.takes("ADD"):
            self.takes("IF", "NOT", "EXISTS")
            if self.sees("FROM") and self.ahead(2).word == "TO":
                return AlterTable(at, name, "add ends", ends=self._pair_of_ends())
            return AlterTable(at, name, "add", self._column())
        if self.takes("DROP"):
            self.takes("IF", "EXISTS")
            if self.sees("FROM") and self.ahead(2).word == "TO":
                return AlterTable(at, name, "drop ends", ends=self._pair_of_ends())
            return AlterTable(at, name, "drop", old=self.name("the name of a column"))
        self.expects("RENAME")
        if self.takes("TO"):
            return AlterTable(at, name, "rename to", new=self.name("the name of a table"))
        old = self.name("the name of a column")
        self.expects("TO")
        return AlterTable(at, name, "rename", old=old, new=self.name("the name of a column"))

    def _drop_table(self) -> DropTable:
        at = self.step().at
        self.step()
        self.takes("IF", "EXISTS")
        return DropTable(at, self.name("the name of a table"))

    def _comment(self) -> CommentOn:
        at = self.step().at
        self.expects("ON", "TABLE")
        name = self.name("the name of a table")
        self.expects("IS")
        if self.now.kind != "text":
            raise self.error("expected a text")
        self.step()
        return CommentOn(at, name)
