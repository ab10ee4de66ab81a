"""Expressions and patterns, parsed with the precedence and the ambiguities of the engines' grammar."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from graphsvc.cypher.names import RESERVED
from graphsvc.cypher.syntax import Edge, Expr, Hops, Match, Node, Path, Properties
from graphsvc.cypher.tokens import DASHES, LEFT_HEADS, RIGHT_HEADS, Token, place, tokens
from graphsvc.errors import NotAllowed

_T = TypeVar("_T")

MAX_DIGITS = 39
"""Of a whole number: the engines' longest have 128 bits."""

_LEVELS = (
    ("OR",), ("XOR",), ("AND",), (), ("=", "<>", "<", "<=", ">", ">="), ("|",), ("&",), ("<<", ">>"), ("+", "-"),
    ("*", "/", "%"), ("^",),
)  # fmt: skip
_POWER = {operator: power for power, level in enumerate(_LEVELS) for operator in level}
_NOT, _COMPARISON = 3, 4
_QUANTIFIERS = frozenset({"ALL", "ANY", "NONE", "SINGLE"})
_LITERALS = {"TRUE": True, "FALSE": False, "NULL": None}


class Reader:
    """Tokens, and a place in them."""

    def __init__(self, statement: str) -> None:
        self.statement = statement
        self.tokens = tokens(statement)
        self.i = 0
        self._closing = self._brackets()

    def _brackets(self) -> dict[int, int]:
        """Where the bracket that opens at a token is closed."""
        found: dict[int, int] = {}
        opened: list[int] = []
        for index, token in enumerate(self.tokens):
            if token.word in ("(", "[", "{"):
                opened.append(index)
            elif token.word in (")", "]", "}") and opened:
                found[opened.pop()] = index
        return found

    @property
    def now(self) -> Token:
        return self.tokens[self.i]

    def ahead(self, count: int = 1) -> Token:
        return self.tokens[min(self.i + count, len(self.tokens) - 1)]

    def step(self) -> Token:
        token = self.now
        self.i += token.kind != "end"
        return token

    def sees(self, *words: str) -> bool:
        """Whether the next tokens are these marks and keywords."""
        return all(self.ahead(count).word == word for count, word in enumerate(words))

    def takes(self, *words: str) -> bool:
        """Whether they are; then goes past them."""
        if self.sees(*words):
            self.i += len(words)
            return True
        return False

    def expects(self, *words: str) -> None:
        for word in words:
            if not self.takes(word):
                raise self.error(f"expected {word}")

    def error(self, what: str, *, at: int | None = None, rule: str = "grammar", hint: str = "") -> NotAllowed:
        found = self.now.text or "the end"
        here = self.now.at if at is None else at
        if at is None:
            what = f"{what}, found {found if len(found) <= 40 else found[:40] + '…'}"
            if not hint and self.now.word in RESERVED:
                hint = f"A name like this is quoted: `{self.now.text}`."
        return NotAllowed(what, where=place(self.statement, here), rule=rule, hint=hint)

    def name(self, what: str = "a name") -> str:
        """A name, quoted or not, that isn't a reserved word."""
        token = self.now
        if token.kind == "quoted" or (token.kind == "name" and token.word not in RESERVED):
            self.i += 1
            return token.value
        raise self.error(f"expected {what}")

    def sees_name(self, count: int = 0) -> bool:
        token = self.ahead(count)
        return token.kind == "quoted" or (token.kind == "name" and token.word not in RESERVED)

    def listed(self, one: Callable[[], _T]) -> tuple[_T, ...]:
        """One or more, parted by commas."""
        found = [one()]
        while self.takes(","):
            found.append(one())
        return tuple(found)

    # expressions

    def expression(self, least: int = 0) -> Expr:
        """An expression of operators that bind at least so tightly; climbing, so that nesting costs few frames."""
        at, negated = self.now.at, False
        while least <= _NOT and self.takes("NOT"):
            negated = True
        left = Expr("op", at, "NOT", (self.expression(_NOT + 1),)) if negated else self._postfix()
        while (power := _POWER.get(self.now.word, -1)) >= least:
            if self.sees("|", "{"):  # of `(r, n | WHERE … | {…}, {…})`; no bit of a struct
                break
            operator = self.step()
            left = Expr("op", operator.at, operator.word, (left, self.expression(power + 1)))
            if power == _COMPARISON and _POWER.get(self.now.word) == power:
                raise self.error("comparisons can't be chained: a < b AND b < c")
        if self.sees("!="):
            raise self.error("not equal is written <>")
        return left

    def _postfix(self) -> Expr:
        left = self._unary()
        at = self.now.at
        if self.takes("=~"):
            return Expr("op", at, "=~", (left, self._lookups()))
        if self.takes("STARTS", "WITH"):
            return Expr("op", at, "STARTS WITH", (left, self._lookups()))
        if self.takes("ENDS", "WITH"):
            return Expr("op", at, "ENDS WITH", (left, self._lookups()))
        if self.takes("CONTAINS"):
            return Expr("op", at, "CONTAINS", (left, self._lookups()))
        if self.takes("IS"):
            word = "IS NOT NULL" if self.takes("NOT") else "IS NULL"
            self.expects("NULL")
            return Expr("op", at, word, (left,))
        while self.now.word in ("IN", "["):
            at = self.now.at
            left = Expr("op", at, "IN", (left, self._lookups())) if self.takes("IN") else self._subscript(left)
        return left

    def _subscript(self, left: Expr) -> Expr:
        at = self.now.at
        self.expects("[")
        parts = [] if self.now.word in (":", "..") else [self.expression()]
        if self.now.word in (":", ".."):
            self.step()
            if not self.sees("]"):
                parts.append(self.expression())
            self.expects("]")
            return Expr("slice", at, None, (left, *parts))
        self.expects("]")
        return Expr("index", at, None, (left, *parts))

    def _unary(self) -> Expr:
        at, times = self.now.at, 0
        while self.takes("-"):
            times += 1
        found = self._lookups()
        if self.takes("!"):
            found = Expr("call", at, "FACTORIAL", (found,))
        if times and found.kind == "literal" and isinstance(found.value, int | float) and found.value is not True:
            return Expr("literal", at, -found.value if times % 2 else found.value)
        return Expr("op", at, "NEGATE", (found,)) if times else found

    def _lookups(self) -> Expr:
        found = self.atom()
        while self.sees("."):
            at = self.step().at
            if self.takes("*"):
                found = Expr("property", at, "*", (found,))
            else:
                found = Expr("property", at, self.name("the name of a property"), (found,))
        return found

    def atom(self) -> Expr:
        token = self.now
        match token.kind:
            case "text":
                return Expr("literal", self.step().at, token.value)
            case "int":
                return Expr("literal", token.at, self.whole())
            case "float":
                return Expr("literal", self.step().at, float(token.text))
            case "parameter":
                return Expr("parameter", self.step().at, token.value)
            case "mark":
                return self._bracketed()
        if token.word in _LITERALS and token.kind == "name":
            return Expr("literal", self.step().at, _LITERALS[token.word])
        if self.sees("CASE"):
            return self._case()
        if self.sees("EXISTS", "{") or self.sees("COUNT", "{"):
            return self._subquery()
        if token.word in _QUANTIFIERS and self.ahead().word == "(":
            return self._quantifier()
        if self.sees("CAST", "("):
            return self._cast()
        if self.sees_name():
            return self._call() if self.ahead().word == "(" else Expr("variable", token.at, self.name())
        raise self.error("expected an expression")

    def _bracketed(self) -> Expr:
        at = self.now.at
        if self.sees("("):
            if self._begins_path():
                return Expr("pattern", at, self._chain(""))
            self.step()
            found = self.expression()
            self.expects(")")
            return found
        if self.takes("["):
            items = [] if self.sees("]") else [self.expression()]
            while self.takes(","):
                if not self.sees(",") and not self.sees("]"):
                    items.append(self.expression())
            self.expects("]")
            return Expr("list", at, None, tuple(items))
        if self.takes("{"):
            fields = self.listed(self._field)
            self.expects("}")
            return Expr("struct", at, tuple(key for key, _ in fields), tuple(value for _, value in fields))
        raise self.error("expected an expression")

    def _field(self) -> tuple[str, Expr]:
        key = self.step().value if self.now.kind == "text" else self.name("the name of a field")
        self.expects(":")
        return key, self.expression()

    def _case(self) -> Expr:
        at = self.step().at
        args = [] if self.sees("WHEN") else [self.expression()]
        compared = bool(args)
        while self.takes("WHEN"):
            args.append(self.expression())
            self.expects("THEN")
            args.append(self.expression())
        if self.takes("ELSE"):
            args.append(self.expression())
        self.expects("END")
        return Expr("case", at, compared, tuple(args))

    def _subquery(self) -> Expr:
        token = self.step()
        self.expects("{", "MATCH")
        at = self.now.at
        paths = self.paths()
        where = self.expression() if self.takes("WHERE") else None
        self.expects("}")
        return Expr(token.word.lower(), token.at, Match(at, paths, where))

    def _quantifier(self) -> Expr:
        token = self.step()
        self.expects("(")
        variable = self.name("a variable")
        self.expects("IN")
        among = self.expression()
        self.expects("WHERE")
        condition = self.expression()
        self.expects(")")
        return Expr("quantifier", token.at, variable, (among, condition))

    def _cast(self) -> Expr:
        at = self.step().at
        self.expects("(")
        found = self.expression()
        if self.takes("AS"):
            kind = self.type_name()
        else:
            self.expects(",")
            if self.now.kind != "text":
                raise self.error("expected the name of a type")
            kind = self.step().value
        self.expects(")")
        return Expr("cast", at, kind.upper(), (found,))

    def _call(self) -> Expr:
        token = self.now
        name = token.word if token.kind == "name" else token.value.upper()
        self.i += 1
        self.expects("(")
        distinct = self.takes("DISTINCT")
        if name == "COUNT" and self.takes("*"):
            self.expects(")")
            return Expr("call", token.at, name, (Expr("all", token.at),))
        args = () if self.sees(")") else self.listed(self._argument)
        self.expects(")")
        return Expr("call", token.at, name, args, distinct)

    def _argument(self) -> Expr:
        at = self.now.at
        if self.sees_name() and self.ahead().word == "-" and self.ahead(2).word == ">":
            names: tuple[str, ...] = (self.name(),)
        elif self.sees("(") and self._begins_lambda():
            self.step()
            names = self.listed(self.name)
            self.expects(")")
        else:
            if self.sees_name() and self.ahead().word == ":" and self.ahead(2).word == "=":
                self.i += 3
            return self.expression()
        self.expects("-", ">")
        return Expr("lambda", at, names, (self.expression(),))

    def _begins_lambda(self) -> bool:
        end = self._closing.get(self.i, -1)
        return 0 <= end < len(self.tokens) - 2 and [t.word for t in self.tokens[end + 1 : end + 3]] == ["-", ">"]

    # types

    def type_name(self) -> str:
        """A type, as it stands there without spaces: `STRUCT(a INT64)[]`."""
        begin = self.i
        self._type()
        return " ".join(token.text for token in self.tokens[begin : self.i])

    def _type(self) -> None:
        if self.now.word in ("STRUCT", "UNION") and self.ahead().word == "(":
            self.i += 2
            self.listed(self._typed_name)
            self.expects(")")
        elif self.sees("MAP", "("):
            self.i += 2
            self._type()
            self.expects(",")
            self._type()
            self.expects(")")
        elif self.sees("DECIMAL", "("):
            self.i += 2
            self.whole()
            self.expects(",")
            self.whole()
            self.expects(")")
        else:
            self.name("a type")
        while self.takes("["):
            if not self.sees("]"):
                self.whole()
            self.expects("]")

    def _typed_name(self) -> None:
        self.name()
        self._type()

    def whole(self) -> int:
        if self.now.kind != "int":
            raise self.error("expected a whole number")
        if len(self.now.text) > MAX_DIGITS:
            raise self.error(f"a whole number has at most {MAX_DIGITS} digits", at=self.now.at)
        return int(self.step().text)

    # patterns

    def paths(self) -> tuple[Path, ...]:
        return self.listed(self._path)

    def _path(self) -> Path:
        variable = ""
        if self.sees_name() and self.ahead().word == "=":
            variable = self.name()
            self.step()
        return self._in_brackets(variable)

    def _in_brackets(self, variable: str) -> Path:
        if self.sees("(", "("):
            self.step()
            found = self._in_brackets(variable)
            self.expects(")")
            return found
        return self._chain(variable)

    def _chain(self, variable: str) -> Path:
        at = self.now.at
        nodes, edges = [self._node()], []
        while self.now.word in DASHES or self.now.word in LEFT_HEADS:
            edges.append(self._edge())
            nodes.append(self._node())
        return Path(at, variable, tuple(nodes), tuple(edges))

    def _begins_path(self) -> bool:
        """Whether a bracket in an expression opens a pattern: a node with an edge behind it."""
        i, end = self.i + 1, self._closing.get(self.i, -1)
        if end < 0 or end + 2 >= len(self.tokens):
            return False
        if self.tokens[i].kind == "quoted" or (self.tokens[i].kind == "name" and self.tokens[i].word not in RESERVED):
            i += 1
        if i != end and self.tokens[i].word not in (":", "{"):
            return False
        one, two = self.tokens[end + 1].word, self.tokens[end + 2].word
        if one in LEFT_HEADS:
            return two in DASHES and self._begins_edge(end + 3)
        return one in DASHES and self._begins_edge(end + 2)

    def _begins_edge(self, i: int) -> bool:
        token, following = self.tokens[i], self.tokens[min(i + 1, len(self.tokens) - 1)]
        if token.word in DASHES:
            return following.word in RIGHT_HEADS or following.word == "("
        if token.word != "[":
            return False
        if following.kind == "quoted" or (following.kind == "name" and following.word not in RESERVED):
            following = self.tokens[min(i + 2, len(self.tokens) - 1)]
        end = self._closing.get(i, -1)
        return following.word in (":", "*", "{", "]") and end > 0 and self.tokens[end + 1].word in DASHES

    def _node(self) -> Node:
        at = self.now.at
        self.expects("(")
        variable = self.name() if self.sees_name() else ""
        labels: list[str] = []
        while self.takes(":") or (labels and self.takes("|")):
            self.takes(":")
            labels.append(self.name("a label"))
        properties = self._properties()
        self.expects(")")
        return Node(at, variable, tuple(labels), properties)

    def _edge(self) -> Edge:
        at = self.now.at
        left = self.now.word in LEFT_HEADS
        if left:
            self.step()
        self._dash()
        variable, hops = "", None
        types: tuple[str, ...] = ()
        properties: Properties = ()
        if self.takes("["):
            variable = self.name() if self.sees_name() else ""
            types = self._types()
            hops = self._hops() if self.sees("*") else None
            properties = self._properties()
            self.expects("]")
        self._dash()
        right = not left and self.now.word in RIGHT_HEADS
        if right:
            self.step()
        return Edge(at, variable, types, properties, "<-" if left else "->" if right else "-", hops)

    def _dash(self) -> None:
        if self.now.word not in DASHES:
            raise self.error("expected - of an edge")
        self.step()

    def _types(self) -> tuple[str, ...]:
        types: list[str] = []
        while (not types and self.takes(":")) or (types and self.takes("|")):
            self.takes(":")
            types.append(self.name("the type of an edge"))
        return tuple(types)

    def _properties(self) -> Properties:
        if not self.takes("{"):
            return ()
        found = () if self.sees("}") else self.listed(self.pair)
        self.expects("}")
        return found

    def pair(self) -> tuple[str, Expr]:
        key = self.name("the name of a property")
        self.expects(":")
        return key, self.expression()

    def _hops(self) -> Hops:
        self.expects("*")
        way = weight = ""
        if self.now.word in ("ALL", "SHORTEST", "WSHORTEST", "TRAIL", "ACYCLIC"):
            way = self.step().word
            if way == "ALL":
                if self.now.word not in ("SHORTEST", "WSHORTEST"):
                    raise self.error("expected SHORTEST")
                way = f"ALL {self.step().word}"
            if way.endswith("WSHORTEST"):
                self.expects("(")
                weight = self.name("the name of a property")
                self.expects(")")
        lower, upper = self._range()
        if not self.takes("("):
            return Hops(way, lower, upper, weight=weight)
        edge = self.name("a variable")
        self.expects(",")
        names = (edge, self.name("a variable"))
        where = None
        shown: tuple[Expr, ...] = ()
        if self.takes("|", "WHERE"):
            where = self.expression()
        if self.takes("|"):
            shown = self._shown()
            self.expects(",")
            shown += self._shown()
        self.expects(")")
        return Hops(way, lower, upper, names, where, shown, weight)

    def _range(self) -> tuple[int | None, int | None]:
        lower = self.whole() if self.now.kind == "int" else None
        if self.takes(".."):
            return lower, self.whole() if self.now.kind == "int" else None
        return lower, lower

    def _shown(self) -> tuple[Expr, ...]:
        self.expects("{")
        if self.takes("}"):
            return ()
        found = self.listed(self._shown_item)
        self.expects("}")
        return found

    def _shown_item(self) -> Expr:
        if self.sees("*"):
            return Expr("all", self.step().at)
        found = self.expression()
        if self.takes("AS"):
            self.name()
        return found
