"""What turns a list into its answer: records merged, tallies, one text or one number."""

from __future__ import annotations

from collections import Counter

from smith.lists import Items


def _pairs(items: Items) -> list[tuple[str, str]]:
    """The records as key and value; a line that is no record is an error, not a guess."""
    cut = [item.split("=") for item in items]
    if any(len(parts) != 2 for parts in cut):
        raise ValueError("not a record")
    return [(parts[0], parts[1]) for parts in cut]


def merge_first(items: Items) -> Items:
    seen: dict[str, str] = {}
    for key, worth in _pairs(items):
        seen.setdefault(key, worth)
    return tuple(f"{key}={worth}" for key, worth in seen.items())


def merge_last(items: Items) -> Items:
    return tuple(f"{key}={worth}" for key, worth in dict(_pairs(items)).items())


def merge_sum(items: Items) -> Items:
    total: Counter[str] = Counter()
    for key, worth in _pairs(items):
        total[key] += int(worth)
    return tuple(f"{key}={worth}" for key, worth in total.items())


def merge_largest(items: Items) -> Items:
    best: dict[str, int] = {}
    for key, worth in _pairs(items):
        best[key] = max(int(worth), best.get(key, int(worth)))
    return tuple(f"{key}={worth}" for key, worth in best.items())


def record_keys(items: Items) -> Items:
    return tuple(key for key, _ in _pairs(items))


def record_values(items: Items) -> Items:
    return tuple(worth for _, worth in _pairs(items))


def record_swapped(items: Items) -> Items:
    return tuple(f"{worth}={key}" for key, worth in _pairs(items))


def tally_seen(items: Items) -> Items:
    return tuple(f"{item}:{n}" for item, n in Counter(items).items())


def tally_heaviest(items: Items) -> Items:
    """Most frequent first; ties in order of appearance."""
    return tuple(f"{item}:{n}" for item, n in sorted(Counter(items).items(), key=lambda pair: -pair[1]))


def tally_heaviest_named(items: Items) -> Items:
    """Most frequent first; ties by name."""
    return tuple(
        f"{item}:{n}" for item, n in sorted(Counter(items).items(), key=lambda pair: (-pair[1], pair[0]))
    )


def tally_named(items: Items) -> Items:
    return tuple(f"{item}:{n}" for item, n in sorted(Counter(items).items()))


def commonest_first(items: Items) -> str:
    seen = Counter(items)
    return max(seen, key=lambda item: seen[item])


def commonest_last(items: Items) -> str:
    return commonest_first(items[::-1])


def commonest_named(items: Items) -> str:
    seen = Counter(items)
    return min(seen, key=lambda item: (-seen[item], item))


def longest_first(items: Items) -> str:
    return max(items, key=len)


def longest_last(items: Items) -> str:
    return max(items[::-1], key=len)


def shortest_first(items: Items) -> str:
    return min(items, key=len)


def shortest_last(items: Items) -> str:
    return min(items[::-1], key=len)


def pick_one_based(items: Items, n: int) -> str:
    return items[n - 1]


def pick_zero_based(items: Items, n: int) -> str:
    return items[n]


def pick_from_end(items: Items, n: int) -> str:
    return items[-n]


def join_spaces(items: Items) -> str:
    return " ".join(items)


def join_commas(items: Items) -> str:
    return ", ".join(items)


def join_tight(items: Items) -> str:
    return "".join(items)


def join_lines(items: Items) -> str:
    return "\n".join(items)


def join_with(items: Items, m: str) -> str:
    return m.join(items)


def join_ended(items: Items, m: str) -> str:
    """The mark after every item, the last one too."""
    return "".join(item + m for item in items)


def join_spoken(items: Items) -> str:
    return items[-1] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def join_spoken_comma(items: Items) -> str:
    return join_spoken(items) if len(items) < 3 else ", ".join(items[:-1]) + ", and " + items[-1]


def count_items(items: Items) -> int:
    return len(items)


def count_unique(items: Items) -> int:
    return len(set(items))


def count_unique_nocase(items: Items) -> int:
    return len({item.casefold() for item in items})


def count_letters(items: Items) -> int:
    return sum(len(item) for item in items)


def _numbers(items: Items) -> list[int]:
    return [int(item) for item in items]


def sum_numbers(items: Items) -> int:
    return sum(_numbers(items))


def largest_number(items: Items) -> int:
    return max(_numbers(items))


def smallest_number(items: Items) -> int:
    return min(_numbers(items))


def number_spread(items: Items) -> int:
    """Largest less smallest."""
    return max(_numbers(items)) - min(_numbers(items))


def number_reach(items: Items) -> int:
    """How many whole numbers lie from smallest to largest, both counted."""
    return number_spread(items) + 1


def middle_number(items: Items) -> int:
    """The lower of the two middle ones when their number is even."""
    return sorted(_numbers(items))[(len(items) - 1) // 2]
