"""The agent's stock of operations: name, kinds, what it is about, and how common it is in general.

The weight is the only thing the agent believes about an operation before any experience. `gloss` is what
the critic says when it explains an operation in plain English.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smith import endings, letters, lists
from smith.values import Kind, Value

Argument = int | str


@dataclass(frozen=True)
class Operation:
    """One typed step. `wants` spells its arguments: n is a number, m a mark (a short quoted text)."""

    name: str
    takes: Kind
    gives: Kind
    wants: str
    aspect: str
    weight: int
    gloss: str
    act: Callable[..., Value]

    def run(self, value: Value, arguments: tuple[Argument, ...]) -> Value:
        """Apply to a value; an operation on text works on every item of a list."""
        if self.takes is Kind.TEXT and isinstance(value, tuple):
            return tuple(str(self.act(item, *arguments)) for item in value)
        return self.act(value, *arguments)


Row = tuple[Callable[..., Value], str, int, str]


def _table(takes: Kind, gives: Kind, wants: str, rows: list[Row]) -> list[Operation]:
    return [
        Operation(act.__name__, takes, gives, wants, aspect, weight, gloss, act)
        for act, aspect, weight, gloss in rows
    ]


def lower_case(text: str) -> str:
    return text.lower()


def upper_case(text: str) -> str:
    return text.upper()


def swap_case(text: str) -> str:
    return text.swapcase()


def split_words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def split_lines(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n"))


def split_letters(text: str) -> tuple[str, ...]:
    return tuple(text)


def split_at(text: str, m: str) -> tuple[str, ...]:
    return tuple(text.split(m))


TEXT_TO_TEXT: list[Row] = [
    (lower_case, "case", 5, "all small letters"),
    (upper_case, "case", 5, "all capitals"),
    (letters.title_case, "case", 4, "a capital on every word"),
    (letters.title_small, "case", 1, "a capital on every word but the small ones inside"),
    (letters.sentence_case, "case", 2, "a capital on the very start only"),
    (swap_case, "case", 1, "capitals and small letters exchanged"),
    (letters.strip_edges, "blanks", 5, "no blanks at the ends, inner ones kept"),
    (letters.collapse_runs, "blanks", 2, "runs of blanks made one, ends not trimmed"),
    (letters.even_spaces, "blanks", 3, "one blank between words and none at the ends"),
    (letters.remove_spaces, "blanks", 2, "no blank left anywhere"),
    (letters.keep_letters, "letters", 2, "letters alone"),
    (letters.keep_digits, "letters", 2, "digits alone"),
    (letters.drop_digits, "letters", 1, "digits taken out"),
    (letters.drop_punctuation, "letters", 3, "punctuation taken out"),
    (letters.drop_vowels, "letters", 1, "vowels taken out"),
    (letters.squeeze_repeats, "letters", 1, "a doubled character made single"),
    (letters.reverse_text, "letters", 2, "characters back to front"),
    (letters.take_initials, "letters", 2, "the start of every word"),
    (letters.blanks_to_hyphens, "joining", 2, "hyphens for blanks"),
    (letters.blanks_to_underscores, "joining", 2, "underscores for blanks"),
]
TEXT_TO_TEXT_N: list[Row] = [
    (letters.clip_front, "clipping", 3, "that many characters from the front"),
    (letters.clip_back, "clipping", 2, "that many characters from the back"),
    (letters.clip_words, "clipping", 2, "that many words"),
    (letters.mask_front, "clipping", 1, "stars for all but the end"),
    (letters.mask_back, "clipping", 1, "stars for all but the front"),
]
TEXT_TO_ITEMS: list[Row] = [
    (split_words, "splitting", 5, "parted at blanks"),
    (split_lines, "splitting", 4, "parted at line ends"),
    (split_letters, "splitting", 1, "parted into characters"),
]
TEXT_TO_ITEMS_M: list[Row] = [(split_at, "splitting", 5, "parted at the mark")]
ITEMS_TO_ITEMS: list[Row] = [
    (lists.sort_plain, "order", 5, "sorted with capitals before small letters"),
    (lists.sort_nocase, "order", 2, "sorted without regard to capitals"),
    (lists.sort_backward, "order", 2, "sorted from z to a"),
    (lists.sort_shortest, "order", 2, "shortest first, ties as they came"),
    (lists.sort_longest, "order", 2, "longest first, ties as they came"),
    (lists.sort_last_word, "order", 1, "sorted by their last word"),
    (lists.sort_last_letter, "order", 1, "sorted by their last letter"),
    (lists.sort_rising, "order", 2, "sorted as numbers, least first"),
    (lists.sort_falling, "order", 2, "sorted as numbers, greatest first"),
    (lists.reverse_items, "order", 4, "back to front"),
    (lists.swap_ends, "order", 1, "the two ends exchanged"),
    (lists.unique_first, "duplicates", 5, "equal ones once, where first seen"),
    (lists.unique_last, "duplicates", 2, "equal ones once, where last seen"),
    (lists.unique_nocase_first, "duplicates", 1, "equal but for capitals once, where first seen"),
    (lists.unique_nocase_last, "duplicates", 1, "equal but for capitals once, where last seen"),
    (lists.only_singles, "duplicates", 1, "those that come once only"),
    (lists.only_repeated, "duplicates", 1, "those that come more than once"),
    (lists.drop_empty, "selection", 3, "without the empty ones"),
    (lists.drop_blank, "selection", 2, "without those that are empty or all blank"),
    (lists.number_from_one, "numbering", 3, "numbered 1, 2, 3"),
    (lists.number_from_zero, "numbering", 1, "numbered 0, 1, 2"),
    (lists.number_backward, "numbering", 1, "numbered down to 1"),
    (endings.merge_first, "merging", 2, "one record a key, the first value kept"),
    (endings.merge_last, "merging", 2, "one record a key, the last value kept"),
    (endings.merge_sum, "merging", 2, "one record a key, the values added"),
    (endings.merge_largest, "merging", 1, "one record a key, the greatest value kept"),
    (endings.record_keys, "merging", 2, "the keys alone"),
    (endings.record_values, "merging", 2, "the values alone"),
    (endings.record_swapped, "merging", 1, "key and value exchanged"),
    (endings.tally_seen, "tallying", 2, "counted, in order of appearance"),
    (endings.tally_heaviest, "tallying", 2, "counted, most frequent first, ties as they came"),
    (endings.tally_heaviest_named, "tallying", 1, "counted, most frequent first, ties by name"),
    (endings.tally_named, "tallying", 1, "counted, by name"),
]
ITEMS_TO_ITEMS_N: list[Row] = [
    (lists.take_first, "selection", 4, "that many from the front"),
    (lists.take_last, "selection", 3, "that many from the back"),
    (lists.skip_first, "selection", 2, "all but that many at the front"),
    (lists.skip_last, "selection", 2, "all but that many at the back"),
    (lists.stride_ending, "selection", 2, "every so-manyth, the front one skipped"),
    (lists.stride_starting, "selection", 2, "every so-manyth, beginning with the front one"),
    (lists.longer_than, "selection", 3, "longer, the bound left out"),
    (lists.long_or_equal, "selection", 2, "longer, the bound let in"),
    (lists.shorter_than, "selection", 2, "shorter, the bound left out"),
    (lists.short_or_equal, "selection", 2, "shorter, the bound let in"),
    (lists.rotate_left, "order", 2, "turned towards the front"),
    (lists.rotate_right, "order", 2, "turned towards the back"),
]
ITEMS_TO_ITEMS_NN: list[Row] = [
    (lists.span_one_closed, "selection", 3, "positions from one, both ends in"),
    (lists.span_one_open, "selection", 1, "positions from one, the end left out"),
    (lists.span_zero_closed, "selection", 1, "positions from zero, both ends in"),
    (lists.span_zero_open, "selection", 3, "positions from zero, the end left out"),
]
ITEMS_TO_ITEMS_M: list[Row] = [
    (lists.keep_containing, "selection", 3, "those with the mark, capitals told apart"),
    (lists.keep_containing_nocase, "selection", 1, "those with the mark, capital or small"),
    (lists.keep_opening, "selection", 2, "those that begin with the mark"),
    (lists.drop_containing, "selection", 2, "those without the mark"),
]
ITEMS_TO_TEXT: list[Row] = [
    (endings.commonest_first, "picking", 2, "the most frequent, a tie to the first seen"),
    (endings.commonest_last, "picking", 1, "the most frequent, a tie to the last seen"),
    (endings.commonest_named, "picking", 1, "the most frequent, a tie by name"),
    (endings.longest_first, "picking", 3, "the longest, a tie to the first"),
    (endings.longest_last, "picking", 1, "the longest, a tie to the last"),
    (endings.shortest_first, "picking", 2, "the shortest, a tie to the first"),
    (endings.shortest_last, "picking", 1, "the shortest, a tie to the last"),
    (endings.join_spaces, "joining", 4, "joined by blanks"),
    (endings.join_commas, "joining", 4, "joined by commas"),
    (endings.join_tight, "joining", 3, "joined by nothing"),
    (endings.join_lines, "joining", 3, "joined by line ends"),
    (endings.join_spoken, "joining", 1, "joined by commas, a plain 'and' at the end"),
    (endings.join_spoken_comma, "joining", 1, "joined by commas, one before the 'and' too"),
]
ITEMS_TO_TEXT_N: list[Row] = [
    (endings.pick_one_based, "picking", 4, "the one at that place counted from one"),
    (endings.pick_zero_based, "picking", 2, "the one at that place counted from zero"),
    (endings.pick_from_end, "picking", 2, "the one at that place from the back"),
]
ITEMS_TO_TEXT_M: list[Row] = [
    (endings.join_with, "joining", 5, "the mark between neighbours"),
    (endings.join_ended, "joining", 1, "the mark after every one"),
]
ITEMS_TO_NUMBER: list[Row] = [
    (endings.count_items, "counting", 5, "how many there are"),
    (endings.count_unique, "counting", 3, "how many different ones, capitals told apart"),
    (endings.count_unique_nocase, "counting", 1, "how many different ones, capitals or not"),
    (endings.count_letters, "counting", 2, "how many characters in all"),
    (endings.sum_numbers, "counting", 4, "the sum"),
    (endings.largest_number, "counting", 3, "the greatest"),
    (endings.smallest_number, "counting", 3, "the least"),
    (endings.number_spread, "counting", 1, "greatest less least"),
    (endings.number_reach, "counting", 1, "greatest less least, and one more"),
    (endings.middle_number, "counting", 1, "the middle one in size"),
]

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for table in (
        _table(Kind.TEXT, Kind.TEXT, "", TEXT_TO_TEXT),
        _table(Kind.TEXT, Kind.TEXT, "n", TEXT_TO_TEXT_N),
        _table(Kind.TEXT, Kind.ITEMS, "", TEXT_TO_ITEMS),
        _table(Kind.TEXT, Kind.ITEMS, "m", TEXT_TO_ITEMS_M),
        _table(Kind.ITEMS, Kind.ITEMS, "", ITEMS_TO_ITEMS),
        _table(Kind.ITEMS, Kind.ITEMS, "n", ITEMS_TO_ITEMS_N),
        _table(Kind.ITEMS, Kind.ITEMS, "nn", ITEMS_TO_ITEMS_NN),
        _table(Kind.ITEMS, Kind.ITEMS, "m", ITEMS_TO_ITEMS_M),
        _table(Kind.ITEMS, Kind.TEXT, "", ITEMS_TO_TEXT),
        _table(Kind.ITEMS, Kind.TEXT, "n", ITEMS_TO_TEXT_N),
        _table(Kind.ITEMS, Kind.TEXT, "m", ITEMS_TO_TEXT_M),
        _table(Kind.ITEMS, Kind.NUMBER, "", ITEMS_TO_NUMBER),
    )
    for operation in table
}
