"""A statement as tokens, exactly as the lexers of both engines cut it.

Both come from one grammar. Where it differs from what one expects, whoever reads a statement less exactly can be
made to see a comment or text where the engine sees a clause:

- `/***/` isn't closed: in a comment, a star takes the character behind it along, if that isn't a slash;
- `//` is a comment only up to a line feed or the end, and none at all where a bare carriage return comes first;
- a text takes few escapes, and nothing else behind a backslash; two quotes don't escape one, and a backtick can't be
  escaped within backticks: `` `a``b` `` is one name with two backticks in it;
- `$` and other signs of currency may be part of a name; so may connectors other than `_`;
- dashes and arrow heads of other scripts are those of patterns, and two dozen characters are spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from graphsvc.cypher.names import RESERVED
from graphsvc.errors import BadInput, NotAllowed, TooLarge

MAX_STATEMENT = 64 << 10
"""The longest statement, in characters, texts in it included."""
MAX_TOKENS = 4_000
"""The most words and marks outside texts: 10,000 terms joined by `+` overflow the stack of both parsers."""
MAX_NESTING = 32
"""How deep brackets, CASE and EXISTS may nest: 1,000 lists in one another crash both engines."""
MAX_CASES = 8
"""How deep CASE may nest: parsing takes twice as long for each, 24 of them hang both engines past any limit."""

Kind = Literal["name", "quoted", "text", "int", "float", "parameter", "mark", "end"]

DASHES = frozenset("-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d")
LEFT_HEADS = frozenset("<\u27e8\u3008\ufe64\uff1c")
RIGHT_HEADS = frozenset(">\u27e9\u3009\ufe65\uff1e")

_SPACES = "\t-\r\x1c-\x20\u00a0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_ESCAPE = r"""\\(?:[\\'"BbFfNnRrTt]|[Uu][0-9A-Fa-f]{8}|[Uu][0-9A-Fa-f]{4})"""
_TOKEN = re.compile(
    rf"""
    (?P<space>   [{_SPACES}]+ | /\*(?:[^*]|\*[^/])*\*/ | //[^\n\r]*\r?(?:\n|\Z) )
  | (?P<text>    '(?:[^'\\]|{_ESCAPE})*' | "(?:[^"\\]|{_ESCAPE})*" )
  | (?P<quoted>  (?:`[^`]*`)+ )
  | (?P<float>   (?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+)[eE]-?[0-9]+ | [0-9]*\.[0-9]+ )
  | (?P<int>     0|[1-9][0-9]* )
  | (?P<mark>    <> | <= | >= | << | >> | =~ | != | \.\. | [-;(),\[\]{{}}=:|&^<>+*/%.!$] )
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_ESCAPED = re.compile(_ESCAPE)
_CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        text: as it stands in the statement.
        word: a name in ASCII capitals, as keywords and functions are compared; a mark as it is; else ''.
        at: where it begins, in characters.
        value: a name, text or parameter's name without its quotes.
    """

    kind: Kind
    text: str
    at: int
    word: str = ""
    value: str = ""

    @property
    def end(self) -> int:
        return self.at + len(self.text)


def place(statement: str, at: int) -> str:
    """Where in a statement, for an error."""
    line = statement.count("\n", 0, at) + 1
    column = at - (statement.rfind("\n", 0, at) + 1) + 1
    return f"statement, line {line}, column {column}"


def capitals(name: str) -> str:
    """In capitals of ASCII alone, as the engines compare keywords: `ſet` is no SET, though Python's `upper` says so."""
    return name.upper() if name.isascii() else "".join(c.upper() if c.isascii() else c for c in name)


@lru_cache(maxsize=512)
def tokens(statement: str) -> tuple[Token, ...]:
    """The tokens of a statement, its spaces and comments left out, an `end` at the end.

    Raises:
        TooLarge: too long, too many, or nested too deep: it would crash an engine's parser.
        BadInput: it holds a NUL character, which ends it early inside the engine, or half a character.
        NotAllowed: no token begins somewhere: a text that doesn't end, or a character that Cypher hasn't got.
    """
    if len(statement) > MAX_STATEMENT:
        raise TooLarge(
            f"{len(statement):,} characters; a statement has at most {MAX_STATEMENT:,}",
            where="statement",
            hint="Pass values as parameters.",
        )
    if "\x00" in statement:
        raise BadInput("holds a NUL character", where="statement")
    if any("\ud800" <= character <= "\udfff" for character in statement):
        raise BadInput("holds half of a surrogate pair", where="statement")
    found: list[Token] = []
    depth = cases = 0
    for token in _cut(statement):
        found.append(token)
        cases += (token.word == "CASE") - (token.word == "END")
        depth += (token.word in _OPENING) - (token.word in _CLOSING)
        if depth + cases > MAX_NESTING or cases > MAX_CASES:
            raise TooLarge(
                "nests too deep", where=place(statement, token.at), hint="Break it up with WITH, or into several."
            )
        if len(found) > MAX_TOKENS:
            raise TooLarge(
                f"a statement has at most {MAX_TOKENS:,} words and marks",
                where="statement",
                hint="Pass values as parameters.",
            )
    return (*found, Token("end", "", len(statement)))


_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def _cut(statement: str) -> Iterator[Token]:
    at = 0
    while at < len(statement):
        if name := _name_at(statement, at):
            yield Token("name", name, at, capitals(name), name)
            at += len(name)
            continue
        match = _TOKEN.match(statement, at)
        if match is None:
            if statement[at] in DASHES | LEFT_HEADS | RIGHT_HEADS:
                yield Token("mark", statement[at], at, statement[at])
                at += 1
                continue
            raise _no_token(statement, at)
        kind, text, start, at = match.lastgroup, match[0], at, match.end()
        if kind == "mark":
            if text == "$":
                parameter = _parameter_at(statement, at)
                yield Token("parameter", "$" + parameter, start, value=_bare(parameter))
                at += len(parameter)
            else:
                yield Token("mark", text, start, text)
        elif kind == "quoted":
            if text == "``":
                raise NotAllowed("a name in backticks is empty", where=place(statement, start))
            yield Token("quoted", text, start, value=_bare(text))
        elif kind == "text":
            yield Token("text", text, start, value=unescaped(text))
        elif kind == "int":
            yield Token("int", text, start, value=text)
        elif kind == "float":
            yield Token("float", text, start, value=text)


def _name_at(statement: str, at: int) -> str:
    """The name that begins there, or ''."""
    match = _NAME.match(statement, at)
    end = match.end() if match else at
    if match and (end == len(statement) or statement[end].isascii()):
        return match[0]
    if not match and not _begins_name(statement[at]):
        return ""
    while end < len(statement) and _continues_name(statement[end]):
        end += 1
    return statement[at:end]


def _begins_name(character: str) -> bool:
    return character.isidentifier() or unicodedata.category(character) == "Pc"


def _continues_name(character: str) -> bool:
    return ("a" + character).isidentifier() or unicodedata.category(character) in ("Pc", "Sc")


def _parameter_at(statement: str, at: int) -> str:
    if at < len(statement):
        name = _name_at(statement, at)
        if name and capitals(name) not in RESERVED:
            return name
        match = None if name else _TOKEN.match(statement, at)
        if match and match.lastgroup == "int":
            return match[0]
    raise NotAllowed("a $ without the name of a parameter", where=place(statement, at - 1))


def _bare(name: str) -> str:
    return name[1:-1] if name.startswith("`") else name


def unescaped(text: str) -> str:
    """What a text in quotes says."""
    return _ESCAPED.sub(lambda match: _meant(match[0][1:]), text[1:-1]) if "\\" in text else text[1:-1]


def _meant(escape: str) -> str:
    if len(escape) == 1:
        return _CONTROL.get(escape.lower(), escape)
    code = int(escape[1:], 16)
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"


def _no_token(statement: str, at: int) -> NotAllowed:
    character = statement[at]
    where = place(statement, at)
    if character in "'\"":
        hint = "A quote in a text is written \\', and behind a backslash stand only \\ ' \" b f n r t x u."
        return NotAllowed("a text doesn't end, or holds an unknown escape", where=where, hint=hint)
    if character == "`":
        return NotAllowed("a name in backticks doesn't end", where=where)
    return NotAllowed(f"{character!r} isn't a character of Cypher", where=where, hint="Quote names with backticks.")


@lru_cache(maxsize=512)
def parameters_of(statement: str) -> frozenset[str]:
    """Names of the parameters that a statement uses."""
    return frozenset(token.value for token in tokens(statement) if token.kind == "parameter")


def statements(source: str) -> list[str]:
    """The statements of a migration: parted by `;`, comments taken out."""
    parts: list[str] = [""]
    last = 0
    for token in _cut(source):
        if token.word == ";":
            parts.append("")
        else:
            gap = source[last : token.at]
            parts[-1] += (" " if gap and parts[-1] else "") + token.text
        last = token.end
    return [part for part in parts if part]
