"""Statements are cut into tokens, and parsed, exactly as the engines do it."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphsvc.cypher.functions import FUNCTIONS
from graphsvc.cypher.names import RESERVED, check_name
from graphsvc.cypher.parse import parse
from graphsvc.cypher.reads import check_read
from graphsvc.cypher.tokens import parameters_of, tokens
from graphsvc.errors import BadInput, GraphsvcError, NotAllowed, OwnedTable, TooLarge


def cut(statement: str) -> list[str]:
    return [token.text for token in tokens(statement)][:-1]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("RETURN 1..3", ["RETURN", "1", "..", "3"]),
        ("RETURN 1.5e-3,.5", ["RETURN", "1.5e-3", ",", ".5"]),
        ("a$b$c", ["a$b$c"]),
        ("$a$b", ["$a$b"]),
        ("`a``b`", ["`a``b`"]),
        ("1 /* a **/ */ 2", ["1", "2"]),
        ("1 /* a */ */ 2", ["1", "*", "/", "2"]),
        ("1 // a\r\n2", ["1", "2"]),
        ("1 // a", ["1"]),
        ("'a\\'b' \"c'd\"", ["'a\\'b'", '"c\'d"']),
        ("a\u00a0b\u2003c", ["a", "b", "c"]),
        ("(a)⟨—(b)", ["(", "a", ")", "⟨", "—", "(", "b", ")"]),
        ("x<>y<=z=~'a'", ["x", "<>", "y", "<=", "z", "=~", "'a'"]),
        ("007", ["0", "0", "7"]),
    ],
)
def test_tokens_are_those_of_the_engines(statement: str, expected: list[str]) -> None:
    assert cut(statement) == expected


@pytest.mark.parametrize("statement", ["'a", "'a\\q'", "`a", "``", "$", "$ a", "a § b", "1 // a\rb §", "\ufeff1"])
def test_what_is_no_token_is_refused_with_its_place(statement: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        tokens(statement)
    assert caught.value.rule == "grammar"
    assert "line 1, column" in caught.value.where


def test_keywords_are_compared_in_ascii_capitals_alone() -> None:
    assert tokens("ſet")[0].word != "SET"
    assert tokens("sEt")[0].word == "SET"
    with pytest.raises(NotAllowed):
        parse("MATCH (p:P) ſET p.x = 1")


def test_parameters_are_found_where_they_are_and_nowhere_else() -> None:
    assert parameters_of("RETURN $a, '$b', `$c`, /* $d */ $e1, $1 // $f") == {"a", "e1", "1"}


def test_reserved_words_are_names_within_backticks() -> None:
    for word in sorted(RESERVED):
        parse(f"WITH 1 AS `{word}` RETURN `{word}`")
        with pytest.raises(NotAllowed):
            parse(f"MATCH (n:{word}) RETURN n")


@given(st.text(alphabet=st.sampled_from("()[]{}'\"`/*\\-<>$.:;|=~!ab1 \n\r\u00a0⟨"), max_size=40))
def test_whatever_is_written_gives_tokens_or_a_named_error(text: str) -> None:
    try:
        found = tokens(text)
    except GraphsvcError:
        return
    assert all(text[token.at : token.end] == token.text for token in found)
    try:
        parse(text)
    except GraphsvcError as error:
        assert isinstance(error, NotAllowed | TooLarge)


@pytest.mark.parametrize("name", ["", "_x", "＿x", "a.b", "a`b", " a", "a\n", "x" * 129, "a\u200bb"])
def test_names_that_no_user_may_give(name: str) -> None:
    with pytest.raises(BadInput):
        check_name(name)


@pytest.mark.parametrize("name", ["Episode", "EPISODE", "epiſode"])
def test_names_of_own_tables_are_taken_in_any_case(name: str) -> None:
    with pytest.raises(OwnedTable):
        check_name(name, own=["Episode"])
    check_name("Épisode", own=["Episode"])


def test_functions_with_too_few_arguments_or_odd_ones_are_an_error_of_ours() -> None:
    for function in FUNCTIONS:
        for count in range(3):
            for arguments in product(("'a'", "NULL", "x -> x"), repeat=count):
                with suppress(GraphsvcError):
                    check_read(f"RETURN {function}({', '.join(arguments)})", tables={})
