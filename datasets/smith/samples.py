"""Inputs drawn for each family, plain or tricky.

Tricky inputs carry what conventions disagree about: stray blanks, mixed capitals, repeats, ties. A task
shows the agent plain ones, on which several readings of its words agree, and is judged on tricky ones.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from smith.values import Value

FIRST = ("ada", "bo", "carl", "dora", "emil", "fay", "gus", "hanna", "ivo", "june")
LAST = ("abel", "brook", "cole", "dunn", "east", "frost", "grant", "hill", "van ney", "of york")
THINGS = ("lamp", "book", "kettle", "pan", "mirror", "clock", "tool", "rug", "chair", "mug", "sleeve", "vase")
TOPICS = (
    "budget",
    "review of rooms",
    "hiring",
    "the garden",
    "repairs",
    "any news",
    "coffee for all",
    "votes",
)
SONGS = ("rain", "blue moon", "ferry", "hollow", "sun", "green hills", "echo", "river", "night bus", "tango")
DISHES = ("soup", "green salad", "rice", "eggs", "noodles", "plum tart", "beet stew", "toast", "apple pie")
HEADLINE_TEXT = """
council moors annual fair in Harbor new bridge opens to
traffic a Green summer book sale of local rolls off
"""
HEADLINE = tuple(HEADLINE_TEXT.split())
CHAPTER = (
    "the",
    "house",
    "of",
    "a",
    "dark",
    "sea",
    "and",
    "letters",
    "to",
    "my",
    "brother",
    "in",
    "winter",
    "hall",
)


def _cased(rng: Random, text: str) -> str:
    return rng.choice((text.upper(), text.title(), text.capitalize(), text.lower(), text.swapcase()))


def _blanked(rng: Random, text: str) -> str:
    """Stray blanks at the start, at the end or between words."""
    where = rng.choice(("start", "end", "inner", "all"))
    if where in ("inner", "all"):
        text = text.replace(" ", " " * rng.randint(2, 3))
    return (
        (" " * rng.randint(1, 2) if where in ("start", "all") else "")
        + text
        + (" " * rng.randint(1, 2) if where in ("end", "all") else "")
    )


def _shaken(rng: Random, items: list[str], tricky: float, blanks: bool = True) -> list[str]:
    """Repeat some items, recase some and put stray blanks on some, the more the trickier."""
    items = list(items)
    for _ in range(3):
        if rng.random() < tricky:
            items.insert(rng.randint(0, len(items)), rng.choice(items))
    if rng.random() < tricky:
        items = [_cased(rng, item) if rng.random() < 0.6 else item for item in items]
    if blanks and rng.random() < tricky:
        items = [_blanked(rng, item) if rng.random() < 0.6 else item for item in items]
    return items


def _guests(rng: Random, tricky: float, _mark: str) -> Value:
    names = [f"{rng.choice(FIRST)} {rng.choice(LAST)}" for _ in range(rng.randint(4, 5))]
    names = [name.title() if rng.random() < 0.7 else name for name in names]
    return tuple(_shaken(rng, names, tricky))


def _parcels(rng: Random, tricky: float, _mark: str) -> Value:
    return tuple(_shaken(rng, rng.sample(THINGS, rng.randint(5, 7)), tricky, blanks=False))


def _agenda(rng: Random, tricky: float, _mark: str) -> Value:
    lines = _shaken(rng, rng.sample(TOPICS, rng.randint(6, 7)), tricky)
    if rng.random() < tricky:
        lines.insert(rng.randint(0, len(lines)), rng.choice(("", "  ")))
    return "\n".join(lines)


def _register(rng: Random, _tricky: float, _mark: str) -> Value:
    def code() -> str:
        letter, other = rng.choice("abckxz"), rng.choice("ABCKXZ")
        return letter * rng.randint(1, 2) + other + str(rng.choice((11, 4, 55, 70, 128, 300)))

    return tuple(code() for _ in range(rng.randint(7, 10)))


def _keywords(rng: Random, tricky: float, _mark: str) -> Value:
    words = rng.sample(HEADLINE, rng.randint(6, 8))
    if rng.random() < tricky:
        words = [_cased(rng, word) if rng.random() < 0.5 else word for word in words]
    if rng.random() < tricky:
        words = [word + rng.choice((",", "!", "?", ";")) if rng.random() < 0.4 else word for word in words]
    return " ".join(words)


def _ballots(rng: Random, tricky: float, _mark: str) -> Value:
    names = rng.sample(("red oak", "ash", "elm", "blue fir", "yew"), 3)
    cast = [rng.choice(names) for _ in range(rng.randint(5, 7))]
    if rng.random() < tricky:
        cast = (names * 2)[: rng.choice((4, 6))]
        rng.shuffle(cast)
    if rng.random() < tricky:
        cast = [_cased(rng, name) if rng.random() < 0.5 else name for name in cast]
    if rng.random() < tricky:
        cast = [_blanked(rng, name) if rng.random() < 0.5 else name for name in cast]
    return tuple(cast)


def _scores(rng: Random, tricky: float, _mark: str) -> Value:
    scores = [str(rng.choice((rng.randint(0, 9), rng.randint(10, 140)))) for _ in range(rng.randint(6, 8))]
    return tuple(_shaken(rng, scores, tricky, blanks=False))


def _codes(rng: Random, tricky: float, _mark: str) -> Value:
    parts = [rng.choice(("ab", "Kxx", "zed", "QR", "mm")), str(rng.choice((77, 1203, 9, 445)))]
    parts.append(rng.choice(("t", "Loo", "v2", "88")))
    text = (rng.choice("-./") if rng.random() < tricky else " ").join(parts[:2]) + " " + parts[2]
    return _blanked(rng, text) if rng.random() < tricky else text


def _titles(rng: Random, tricky: float, _mark: str) -> Value:
    words = rng.sample(CHAPTER, rng.randint(3, 5))
    if rng.random() < tricky:
        words = [_cased(rng, word) if rng.random() < 0.5 else word for word in words]
    if rng.random() < tricky:
        words[rng.randrange(len(words))] += rng.choice(("!", ",", " 2", "'s"))
    text = " ".join(words)
    return _blanked(rng, text) if rng.random() < tricky else text


def _ledger(rng: Random, tricky: float, _mark: str) -> Value:
    keys = rng.sample(("ale", "rye", "Oil", "jam", "Tea", "salt"), rng.randint(3, 4))
    lines = [f"{key}={rng.randint(1, 30)}" for key in keys]
    for _ in range(2):
        if rng.random() < tricky + 0.2:
            lines.insert(rng.randint(0, len(lines)), f"{rng.choice(keys)}={rng.randint(1, 30)}")
    return tuple(lines)


def _playlist(rng: Random, tricky: float, _mark: str) -> Value:
    return tuple(_shaken(rng, rng.sample(SONGS, rng.randint(4, 6)), tricky, blanks=False))


def _menu(rng: Random, tricky: float, mark: str) -> Value:
    dishes = _shaken(rng, rng.sample(DISHES, rng.randint(4, 5)), tricky)
    if rng.random() < tricky:
        dishes.insert(rng.randint(0, len(dishes)), rng.choice(("", " ")))
    return mark.join(dishes)


SAMPLES: dict[str, Callable[[Random, float, str], Value]] = {
    "guests": _guests,
    "parcels": _parcels,
    "agenda": _agenda,
    "register": _register,
    "keywords": _keywords,
    "ballots": _ballots,
    "scores": _scores,
    "codes": _codes,
    "titles": _titles,
    "ledger": _ledger,
    "playlist": _playlist,
    "menu": _menu,
}
