"""What can be done to a list of texts that leaves a list."""

from __future__ import annotations

from collections import Counter

Items = tuple[str, ...]


def _number(text: str) -> int:
    return int(text.strip())


def sort_plain(items: Items) -> Items:
    return tuple(sorted(items))


def sort_nocase(items: Items) -> Items:
    return tuple(sorted(items, key=str.casefold))


def sort_backward(items: Items) -> Items:
    return tuple(sorted(items, reverse=True))


def sort_shortest(items: Items) -> Items:
    return tuple(sorted(items, key=len))


def sort_longest(items: Items) -> Items:
    return tuple(sorted(items, key=lambda t: -len(t)))


def sort_last_word(items: Items) -> Items:
    return tuple(sorted(items, key=lambda t: (t.split() or [""])[-1].casefold()))


def sort_last_letter(items: Items) -> Items:
    return tuple(sorted(items, key=lambda t: t[-1:].casefold()))


def sort_rising(items: Items) -> Items:
    return tuple(sorted(items, key=_number))


def sort_falling(items: Items) -> Items:
    return tuple(sorted(items, key=lambda t: -_number(t)))


def reverse_items(items: Items) -> Items:
    return items[::-1]


def _unique(items: Items, fold: bool) -> Items:
    seen: dict[str, str] = {}
    for item in items:
        seen.setdefault(item.casefold() if fold else item, item)
    return tuple(seen.values())


def unique_first(items: Items) -> Items:
    return _unique(items, fold=False)


def unique_last(items: Items) -> Items:
    return _unique(items[::-1], fold=False)[::-1]


def unique_nocase_first(items: Items) -> Items:
    return _unique(items, fold=True)


def unique_nocase_last(items: Items) -> Items:
    return _unique(items[::-1], fold=True)[::-1]


def only_singles(items: Items) -> Items:
    seen = Counter(items)
    return tuple(item for item in items if seen[item] == 1)


def only_repeated(items: Items) -> Items:
    seen = Counter(items)
    return unique_first(tuple(item for item in items if seen[item] > 1))


def take_first(items: Items, n: int) -> Items:
    return items[:n]


def take_last(items: Items, n: int) -> Items:
    return items[-n:]


def skip_first(items: Items, n: int) -> Items:
    return items[n:]


def skip_last(items: Items, n: int) -> Items:
    return items[:-n]


def stride_ending(items: Items, n: int) -> Items:
    """Positions n, 2n, 3n, counted from one."""
    return items[n - 1 :: n]


def stride_starting(items: Items, n: int) -> Items:
    """Positions 1, n + 1, 2n + 1, counted from one."""
    return items[::n]


def span_one_closed(items: Items, a: int, b: int) -> Items:
    return items[a - 1 : b]


def span_one_open(items: Items, a: int, b: int) -> Items:
    return items[a - 1 : b - 1]


def span_zero_closed(items: Items, a: int, b: int) -> Items:
    return items[a : b + 1]


def span_zero_open(items: Items, a: int, b: int) -> Items:
    return items[a:b]


def longer_than(items: Items, n: int) -> Items:
    return tuple(item for item in items if len(item) > n)


def long_or_equal(items: Items, n: int) -> Items:
    return tuple(item for item in items if len(item) >= n)


def shorter_than(items: Items, n: int) -> Items:
    return tuple(item for item in items if len(item) < n)


def short_or_equal(items: Items, n: int) -> Items:
    return tuple(item for item in items if len(item) <= n)


def keep_containing(items: Items, m: str) -> Items:
    return tuple(item for item in items if m in item)


def keep_containing_nocase(items: Items, m: str) -> Items:
    return tuple(item for item in items if m.casefold() in item.casefold())


def keep_opening(items: Items, m: str) -> Items:
    return tuple(item for item in items if item.startswith(m))


def drop_containing(items: Items, m: str) -> Items:
    return tuple(item for item in items if m not in item)


def drop_empty(items: Items) -> Items:
    return tuple(item for item in items if item)


def drop_blank(items: Items) -> Items:
    return tuple(item for item in items if item.strip())


def rotate_left(items: Items, n: int) -> Items:
    cut = n % len(items) if items else 0
    return items[cut:] + items[:cut]


def rotate_right(items: Items, n: int) -> Items:
    cut = n % len(items) if items else 0
    return items[len(items) - cut :] + items[: len(items) - cut]


def swap_ends(items: Items) -> Items:
    return items if len(items) < 2 else (items[-1], *items[1:-1], items[0])


def number_from_one(items: Items) -> Items:
    return tuple(f"{i}. {item}" for i, item in enumerate(items, 1))


def number_from_zero(items: Items) -> Items:
    return tuple(f"{i}. {item}" for i, item in enumerate(items))


def number_backward(items: Items) -> Items:
    return tuple(f"{len(items) - i}. {item}" for i, item in enumerate(items))
