"""Dates, times, durations."""

from __future__ import annotations

from datetime import UTC, date, datetime

from .case import case, value

CASES = [
    value("date('2020-02-29')", date(2020, 2, 29)),
    value("date('2020-02-29') = date('2020-02-29')", True),
    value("date('2020-02-29') < date('2020-03-01')", True),
    value("date('2020-02-29') <> null", None),
    value("date({year: 2020, month: 2, day: 29})", date(2020, 2, 29), differs="times-of-maps"),
    value("date('20200229')", date(2020, 2, 29), differs="forms-of-times"),
    value("date('2020-060')", date(2020, 2, 29), differs="forms-of-times"),
    value("date('2020-02-29').year", 2020, differs="parts-of-times"),
    value("date('2020-02-29').month", 2, differs="parts-of-times"),
    value("date('2020-02-29').dayOfWeek", 6, differs="parts-of-times"),
    value("localdatetime('2020-02-29T12:30:00')", datetime(2020, 2, 29, 12, 30, tzinfo=UTC), differs="functions"),
    value("datetime('2020-02-29T12:30:00Z')", datetime(2020, 2, 29, 12, 30, tzinfo=UTC), differs="functions"),
    value("time('12:30:00')", "12:30:00", differs="functions"),
    value("date('2020-01-31') + duration('P1M')", date(2020, 2, 29), differs="forms-of-times"),
    value("date('2020-01-30') + duration({days: 2})", date(2020, 2, 1), differs="times-of-maps"),
    value("duration('P1D') = duration('PT24H')", False, differs="forms-of-times"),
    value("toString(date('2020-02-29'))", "2020-02-29", differs="functions"),
    value("$day", date(2020, 2, 29), params={"day": date(2020, 2, 29)}),
    value("$at", datetime(2020, 2, 29, 12, tzinfo=UTC), params={"at": datetime(2020, 2, 29, 12, tzinfo=UTC)}),
    case("MATCH (p:Person {name: 'Ann'}) RETURN p.born, p.seen", [(date(1994, 5, 1), datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC))]),
    case("MATCH (p:Person) WHERE p.born >= date('1994-01-15') AND p.born <= date('1994-05-01') RETURN p.name", [("Ann",), ("Dee",)]),
    case("MATCH (p:Person) WHERE p.seen > $at RETURN p.name", [("Ann",), ("Cid",)],
         params={"at": datetime(2023, 12, 31, 23, 59, 59, tzinfo=UTC)}),
    case("MATCH (p:Person) WHERE p.born = $day RETURN p.name", [("Eve",)], params={"day": date(1983, 7, 20)}),
    case("MATCH (p:Person) RETURN min(p.born) AS first, max(p.born) AS last", [(date(1983, 7, 20), date(1999, 12, 31))]),
    case("UNWIND [date('2020-01-02'), date('2020-01-01')] AS d RETURN d ORDER BY d", [(date(2020, 1, 1),), (date(2020, 1, 2),)]),
    case("MATCH (p:Person) WHERE p.born.year = 1994 RETURN p.name", [("Ann",), ("Dee",)], differs="parts-of-times"),
]  # fmt: skip
