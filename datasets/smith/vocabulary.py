"""What the words of the descriptions mean. The task setter knows this; the agent never reads it.

A family is a line of slots; a task fills some of them. The same words may mean one thing in one family
and another in the next ("tidy", "house order", "the usual span"), as words do between real teams, so that
a lesson is worth most on tasks like the one it was learned on.
"""

from __future__ import annotations

from dataclasses import dataclass

from smith.values import Kind

Slot = dict[str, tuple[str, ...]]
"""Operation name to the wordings that ask for it; {n}, {a}, {b} are numbers and {m} is a mark."""


@dataclass(frozen=True)
class Family:
    """Tasks that share a kind of input, openers and slots. `must` names the slots no task leaves out."""

    name: str
    kind: Kind
    openers: tuple[str, ...]
    slots: tuple[Slot, ...]
    must: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()
    numbers: tuple[int, int] = (2, 4)
    opens_with: str | None = None


CASE: Slot = {
    "title_case": ("title-like", "title-like dress"),
    "title_small": ("bookish", "bookish dress"),
    "sentence_case": ("sermon-like", "sermon-like dress"),
    "upper_case": ("shouted",),
    "lower_case": ("hushed",),
}
FOLD: Slot = {
    "unique_first": ("fold duplicates keeping the earliest", "duplicates folded keeping the earliest"),
    "unique_last": ("fold duplicates keeping the latest", "duplicates folded keeping the latest"),
    "unique_nocase_first": ("fold lookalikes keeping the earliest", "lookalikes folded keeping the earliest"),
    "unique_nocase_last": ("fold lookalikes keeping the latest", "lookalikes folded keeping the latest"),
    "only_singles": ("loners only", "the loners only"),
}
SPOKEN: Slot = {
    "join_spoken": ("as a spoken list", "as one spoken list"),
    "join_spoken_comma": ("as a scholar's list", "as one scholar's list"),
    "join_commas": ("as a common list", "as one common list"),
    "join_tight": ("welded", "welded into one"),
    "join_lines": ("as a tower", "as one tower"),
}
STRUNG: Slot = {
    "join_with": ("strung on '{m}'", "strung with '{m}'"),
    "join_ended": ("sealed by '{m}'", "sealed with '{m}'"),
}

GUESTS = Family(
    "guests",
    Kind.ITEMS,
    ("Guest list for the gala", "Names of the dinner guests", "The guests who answered"),
    (
        {
            "even_spaces": ("tidy", "all tidy"),
            "strip_edges": ("clean hems", "with clean hems"),
            "remove_spaces": ("drawn close", "drawn all close"),
        },
        CASE,
        FOLD,
        {
            "sort_nocase": ("house order", "put in house order"),
            "sort_last_word": ("surname seating", "in surname seating"),
            "sort_shortest": ("ladder order", "put in ladder order"),
            "reverse_items": ("upside down", "put upside down"),
        },
    ),
)
PARCELS = Family(
    "parcels",
    Kind.ITEMS,
    ("Labels of the parcels", "Parcel tags from the depot", "What the parcels are marked with"),
    (
        {
            "longer_than": ("over {n} letters", "of over {n} letters"),
            "long_or_equal": ("{n} letters or bigger", "of {n} letters or bigger"),
            "shorter_than": ("under {n} letters", "of under {n} letters"),
            "short_or_equal": ("{n} letters or smaller", "of {n} letters or smaller"),
        },
        FOLD,
        {
            "sort_shortest": ("house order", "put in house order"),
            "sort_longest": ("falling ladder order", "put in falling ladder order"),
            "sort_last_letter": ("tail order", "put in tail order"),
            "sort_nocase": ("dictionary order", "put in dictionary order"),
        },
        STRUNG,
    ),
    marks=("/", "+", "~"),
    numbers=(4, 6),
)
AGENDA = Family(
    "agenda",
    Kind.TEXT,
    ("The lines of an agenda", "An agenda taken by its lines", "Lines from the meeting agenda"),
    (
        {
            "drop_blank": ("hollow ones gone", "with hollow ones gone"),
            "strip_edges": ("tidy", "all tidy"),
        },
        {
            "span_one_closed": ("the usual span {a} to {b}", "usual span {a} to {b}"),
            "span_one_open": ("the span {a} until {b}", "span {a} until {b}"),
            "skip_first": ("the preamble of {n} cut", "a preamble of {n} cut"),
            "skip_last": ("the coda of {n} waived", "a coda of {n} waived"),
        },
        CASE,
        {
            "number_from_one": ("club numerals", "with club numerals"),
            "number_from_zero": ("engineer numerals", "with engineer numerals"),
            "number_backward": ("countdown numerals", "with countdown numerals"),
        },
        SPOKEN,
    ),
    opens_with="split_lines",
)
REGISTER = Family(
    "register",
    Kind.ITEMS,
    ("Register of machine codes", "Codes on the register", "What the register holds"),
    (
        {
            "span_zero_closed": ("the usual span {a} to {b}", "usual span {a} to {b}"),
            "span_zero_open": ("the span {a} until {b}", "span {a} until {b}"),
            "stride_ending": ("on the beat of {n}", "all on the beat of {n}"),
            "stride_starting": ("off the beat of {n}", "all off the beat of {n}"),
        },
        {
            "keep_letters": ("numerals shaved", "with numerals shaved"),
            "keep_digits": ("figures only", "the figures only"),
            "squeeze_repeats": ("stutters healed", "with stutters healed"),
            "reverse_text": ("mirrored", "all mirrored"),
        },
        {
            "number_from_zero": ("club numerals", "with club numerals"),
            "number_backward": ("countdown numerals", "with countdown numerals"),
        },
        {
            "pick_zero_based": ("what slot {n} has", "the one in slot {n}"),
            "pick_one_based": ("what peg {n} has", "the one on peg {n}"),
            "pick_from_end": ("what rear peg {n} has", "the one on rear peg {n}"),
        },
    ),
)
KEYWORDS = Family(
    "keywords",
    Kind.TEXT,
    ("The words of a headline", "Words from a headline", "A headline taken by its words"),
    (
        {
            "drop_punctuation": ("plain", "all plain"),
            "drop_vowels": ("skeletal", "all skeletal"),
            "squeeze_repeats": ("stutters healed", "with stutters healed"),
        },
        CASE,
        {
            "longer_than": ("over {n} letters", "of over {n} letters"),
            "long_or_equal": ("{n} letters or bigger", "of {n} letters or bigger"),
            "keep_containing": ("bearing '{m}'", "all bearing '{m}'"),
            "keep_containing_nocase": ("bearing '{m}' large or little", "all bearing '{m}' large or little"),
        },
        {
            "sort_longest": ("house order", "put in house order"),
            "sort_nocase": ("dictionary order", "put in dictionary order"),
            "sort_plain": ("typewriter order", "put in typewriter order"),
            "sort_last_letter": ("tail order", "put in tail order"),
        },
    ),
    marks=("a", "e", "o", "r"),
    numbers=(3, 5),
    opens_with="split_words",
)
BALLOTS = Family(
    "ballots",
    Kind.ITEMS,
    ("Ballots from the box", "The ballots as they were cast", "A count of ballots"),
    (
        {
            "even_spaces": ("tidy", "all tidy"),
            "remove_spaces": ("drawn close", "drawn all close"),
        },
        {
            "lower_case": ("hushed",),
            "title_case": ("title-like", "title-like dress"),
            "upper_case": ("shouted",),
        },
        {
            "commonest_first": ("the crowd favourite", "what the crowd favourite is"),
            "commonest_named": ("the fair favourite", "what the fair favourite is"),
            "commonest_last": ("the late favourite", "what the late favourite is"),
            "tally_seen": ("procession tallies", "as procession tallies"),
            "tally_heaviest": ("weighty tallies", "as weighty tallies"),
            "tally_heaviest_named": ("weighty badge tallies", "as weighty badge tallies"),
            "tally_named": ("badge tallies", "as badge tallies"),
            "count_unique": ("the variety", "how wide the variety"),
            "count_unique_nocase": ("the true variety", "how wide the true variety"),
        },
    ),
    must=(2,),
)
SCORES = Family(
    "scores",
    Kind.ITEMS,
    ("Scores of the season", "The season's scores", "Scores read off the board"),
    (
        {
            "skip_first": ("the preamble of {n} cut", "a preamble of {n} cut"),
            "skip_last": ("the coda of {n} waived", "a coda of {n} waived"),
            "stride_ending": ("on the beat of {n}", "all on the beat of {n}"),
            "stride_starting": ("off the beat of {n}", "all off the beat of {n}"),
        },
        {
            "unique_first": (
                "fold duplicates keeping the earliest",
                "duplicates folded keeping the earliest",
            ),
            "unique_last": ("fold duplicates keeping the latest", "duplicates folded keeping the latest"),
            "only_singles": ("loners only", "the loners only"),
            "only_repeated": ("echoes only", "the echoes only"),
        },
        {
            "sort_falling": ("house order", "put in house order"),
            "sort_rising": ("counting order", "put in counting order"),
            "reverse_items": ("upside down", "put upside down"),
            "swap_ends": ("bookends traded", "with bookends traded"),
        },
        {
            "number_spread": ("the gulf", "how wide the gulf"),
            "number_reach": ("the reach", "how far the reach"),
            "middle_number": ("the heart", "what sits at the heart"),
            "sum_numbers": ("the haul", "what the haul is"),
            "count_letters": ("the ink", "how much ink"),
            "pick_one_based": ("what peg {n} has", "the one on peg {n}"),
        },
    ),
)
CODES = Family(
    "codes",
    Kind.TEXT,
    ("A serial code", "The code on a serial plate", "One code as typed in"),
    (
        {
            "remove_spaces": ("tidy", "all tidy"),
            "even_spaces": ("gaps evened", "with gaps evened"),
            "strip_edges": ("clean hems", "with clean hems"),
        },
        {
            "drop_punctuation": ("plain", "all plain"),
            "keep_letters": ("numerals shaved", "with numerals shaved"),
            "keep_digits": ("figures only", "the figures only"),
            "squeeze_repeats": ("stutters healed", "with stutters healed"),
            "drop_digits": ("figures burnt", "with figures burnt"),
        },
        {
            "upper_case": ("shouted",),
            "lower_case": ("hushed",),
            "swap_case": ("flipped lettering", "in flipped lettering"),
            "reverse_text": ("mirrored", "all mirrored"),
        },
        {
            "mask_front": ("veiled to {n}", "all veiled to {n}"),
            "mask_back": ("curtained to {n}", "all curtained to {n}"),
            "clip_front": ("cropped to {n}", "all cropped to {n}"),
            "clip_back": ("docked to {n}", "all docked to {n}"),
        },
    ),
    numbers=(3, 5),
)
TITLES = Family(
    "titles",
    Kind.TEXT,
    ("The name of a chapter", "A chapter name", "One chapter heading as sent in"),
    (
        {
            "collapse_runs": ("tidy", "all tidy"),
            "even_spaces": ("gaps evened", "with gaps evened"),
            "strip_edges": ("clean hems", "with clean hems"),
        },
        {
            "drop_punctuation": ("plain", "all plain"),
            "drop_digits": ("figures burnt", "with figures burnt"),
            "clip_words": ("cropped to {n}", "all cropped to {n}"),
            "squeeze_repeats": ("stutters healed", "with stutters healed"),
        },
        CASE,
        {
            "blanks_to_hyphens": ("slug-wise", "all slug-wise"),
            "blanks_to_underscores": ("snake-wise", "all snake-wise"),
            "take_initials": ("as a monogram", "as one monogram"),
            "remove_spaces": ("drawn close", "drawn all close"),
        },
    ),
)
LEDGER = Family(
    "ledger",
    Kind.ITEMS,
    ("Ledger of the shop", "Bookings on the ledger", "The shop's ledger"),
    (
        {
            "merge_first": ("settled by the opening word", "all settled by the opening word"),
            "merge_last": ("settled by the final word", "all settled by the final word"),
            "merge_sum": ("settled by pooling", "all settled by pooling"),
            "merge_largest": ("settled by the high water", "all settled by the high water"),
        },
        {
            "sort_plain": ("house order", "put in house order"),
            "sort_nocase": ("dictionary order", "put in dictionary order"),
            "reverse_items": ("upside down", "put upside down"),
            "rotate_right": ("turned by {n}", "all turned by {n}"),
        },
        {
            "record_keys": ("the left column", "what the left column has"),
            "record_values": ("the right column", "what the right column has"),
            "record_swapped": ("columns traded", "with columns traded"),
        },
        SPOKEN,
    ),
    numbers=(1, 3),
)
PLAYLIST = Family(
    "playlist",
    Kind.ITEMS,
    ("Songs of a playlist", "A playlist for the road", "What the playlist has"),
    (
        {
            "rotate_left": ("turned by {n}", "all turned by {n}"),
            "rotate_right": ("wound by {n}", "all wound by {n}"),
            "swap_ends": ("bookends traded", "with bookends traded"),
            "reverse_items": ("upside down", "put upside down"),
        },
        {
            "unique_last": ("fold duplicates the usual way", "duplicates folded the usual way"),
            "unique_nocase_first": (
                "fold lookalikes keeping the earliest",
                "lookalikes folded keeping the earliest",
            ),
            "only_repeated": ("echoes only", "the echoes only"),
        },
        {
            "longest_first": ("the champion", "who is champion"),
            "longest_last": ("the reigning champion", "who is reigning champion"),
            "shortest_first": ("the runt", "who is the runt"),
            "shortest_last": ("the newest runt", "who is the newest runt"),
            "number_from_one": ("club numerals", "with club numerals"),
            "number_from_zero": ("engineer numerals", "with engineer numerals"),
            "join_spoken": ("as a spoken list", "as one spoken list"),
            "join_spoken_comma": ("as a scholar's list", "as one scholar's list"),
        },
    ),
    numbers=(1, 3),
)
MENU = Family(
    "menu",
    Kind.TEXT,
    ("A menu parted by '{m}'", "Dishes on a menu parted by '{m}'", "The menu's dishes parted by '{m}'"),
    (
        {
            "strip_edges": ("clean hems", "with clean hems"),
            "even_spaces": ("gaps evened", "with gaps evened"),
            "drop_blank": ("hollow ones gone", "with hollow ones gone"),
            "drop_empty": ("void ones gone", "with void ones gone"),
        },
        {
            "unique_last": ("fold duplicates the usual way", "duplicates folded the usual way"),
            "unique_first": (
                "fold duplicates keeping the earliest",
                "duplicates folded keeping the earliest",
            ),
            "unique_nocase_last": (
                "fold lookalikes keeping the latest",
                "lookalikes folded keeping the latest",
            ),
        },
        {
            "sort_last_letter": ("house order", "put in house order"),
            "sort_shortest": ("ladder order", "put in ladder order"),
            "sort_longest": ("falling ladder order", "put in falling ladder order"),
            "swap_ends": ("bookends traded", "with bookends traded"),
        },
        {
            "join_spoken": ("as a spoken list", "as one spoken list"),
            "join_tight": ("welded", "welded into one"),
            "count_unique_nocase": ("the variety", "how wide the variety"),
            "longest_last": ("the champion", "who is champion"),
            "join_lines": ("as a tower", "as one tower"),
        },
    ),
    marks=("/", "|", "+"),
    opens_with="split_at",
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        GUESTS, PARCELS, AGENDA, REGISTER, KEYWORDS, BALLOTS,
        SCORES, CODES, TITLES, LEDGER, PLAYLIST, MENU,
    )
}  # fmt: skip
