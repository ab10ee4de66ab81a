"""What can be done to one text. Each act also works on every item of a list."""

from __future__ import annotations

import re

SMALL_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "in", "of", "on", "or", "the", "to", "van", "von"}
)


def title_case(text: str) -> str:
    return re.sub(r"[A-Za-z]+", lambda m: m[0][0].upper() + m[0][1:].lower(), text)


def title_small(text: str) -> str:
    """Title case that leaves small words small, except at the start."""
    seen = 0

    def one(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        word = match[0].lower()
        return word if seen > 1 and word in SMALL_WORDS else word[0].upper() + word[1:]

    return re.sub(r"[A-Za-z]+", one, text)


def sentence_case(text: str) -> str:
    lowered = text.lower()
    return re.sub(r"[a-z]", lambda m: m[0].upper(), lowered, count=1)


def collapse_runs(text: str) -> str:
    """Runs of blanks become one; blanks at the ends stay (as one)."""
    return re.sub(r" +", " ", text)


def even_spaces(text: str) -> str:
    return collapse_runs(text).strip(" ")


def strip_edges(text: str) -> str:
    return text.strip(" ")


def remove_spaces(text: str) -> str:
    return text.replace(" ", "")


def keep_letters(text: str) -> str:
    return "".join(c for c in text if c.isalpha())


def keep_digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def drop_digits(text: str) -> str:
    return "".join(c for c in text if not c.isdigit())


def drop_punctuation(text: str) -> str:
    return "".join(c for c in text if c.isalnum() or c.isspace())


def drop_vowels(text: str) -> str:
    return "".join(c for c in text if c.lower() not in "aeiou")


def squeeze_repeats(text: str) -> str:
    return re.sub(r"(.)\1+", r"\1", text)


def reverse_text(text: str) -> str:
    return text[::-1]


def take_initials(text: str) -> str:
    return "".join(word[0] for word in text.split())


def blanks_to_hyphens(text: str) -> str:
    return text.replace(" ", "-")


def blanks_to_underscores(text: str) -> str:
    return text.replace(" ", "_")


def clip_front(text: str, n: int) -> str:
    return text[:n]


def clip_back(text: str, n: int) -> str:
    return text[-n:]


def clip_words(text: str, n: int) -> str:
    return " ".join(text.split()[:n])


def mask_front(text: str, n: int) -> str:
    """Everything but the last n characters hidden behind stars."""
    return "*" * max(0, len(text) - n) + text[-n:]


def mask_back(text: str, n: int) -> str:
    """Everything but the first n characters hidden behind stars."""
    return text[:n] + "*" * max(0, len(text) - n)
