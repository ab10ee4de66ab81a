"""The short form of `docs/quality.md`: floors for what retrieval finds, and a memory that helps an agent."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.quality import critiques, finding, functions, helping, page  # noqa: E402
from benchmarks.quality.asking import SINGLES, ask, holding  # noqa: E402
from benchmarks.quality.judged import Judged, Question, number_of  # noqa: E402
from benchmarks.quality.measures import MEASURES  # noqa: E402

arms = helping.arms
SEEDS = (201, 202)
"""Neither tuned on nor reported."""


def means(judged: Judged) -> dict[str, dict[str, float]]:
    """Each measure by way, over all questions."""
    with holding(judged) as memory:
        found = {way: ask(memory, judged, judged.questions, mode=way).mean(axis=0) for way in (*SINGLES, "blend")}
    return {way: dict(zip(MEASURES, values.tolist(), strict=True)) for way, values in found.items()}


def test_a_docstring_finds_its_function() -> None:
    found = means(functions.functions(300))
    print(found)  # shown where it fails
    assert found["vector"]["nDCG@10"] >= 0.78
    assert found["text"]["nDCG@10"] >= 0.64
    assert found["blend"]["recall@10"] >= 0.93
    for measure in MEASURES:
        assert found["blend"][measure] >= max(found[way][measure] for way in SINGLES) - 0.01


def test_a_critique_finds_its_task_and_what_others_wrote_about_it(shared_data: Path) -> None:
    runs = critiques.read(shared_data / "reflexion" / "episodes.jsonl.gz")
    some = [run for run in runs if number_of(run["input"]) % 10 == 0]
    for judged, least in ((critiques.tasks(some, 200), 0.9), (critiques.other_sessions(some, 200), 0.66)):
        found = means(judged)
        print(found)
        assert found["blend"]["nDCG@10"] >= least
        for measure in MEASURES:
            assert found["blend"][measure] >= max(found[way][measure] for way in SINGLES) - 0.04


def test_a_memory_helps_the_agent_and_its_critiques_do_it() -> None:
    """By words alone, since embedding would take a minute; `make bench` does it as it comes."""
    found = helping.faced(SEEDS, 48, shuffles=arms.SHUFFLES[:1], embedder="hashing", mode="text")
    assert len(found) == 96
    for other in ("none", "shuffled"):
        gain, low, high = arms.advantage(found, other)
        assert 0 < low < gain < high, other
    assert all(arms.share(found, arm, 6) >= arms.share(found, arm, 1) for arm in arms.ARMS)


def test_shuffling_gives_every_failure_the_critique_of_another() -> None:
    episodes = [{"critique": f"critique {n}" if n % 3 else None, "task": str(n)} for n in range(60)]
    other = arms.shuffled(episodes, 1)
    assert Counter(one["critique"] for one in other) == Counter(one["critique"] for one in episodes)
    assert [one["task"] for one in other] == [one["task"] for one in episodes]
    for before, after in zip(episodes, other, strict=True):
        assert (before["critique"] is None) == (after["critique"] is None)
        assert before["critique"] is None or before["critique"] != after["critique"]


def test_seeds_that_are_reported_were_not_tuned_on() -> None:
    assert set(arms.REPORTED).isdisjoint(arms.TUNED_ON)
    assert set(SEEDS).isdisjoint({*arms.TUNED_ON, *arms.REPORTED})


# --- what is asked -----------------------------------------------------------------------------------------


def test_over_1_000_functions_have_a_document_without_docstring_and_a_question() -> None:
    judged = functions.functions(10_000)
    assert len(judged.documents) > 1_000
    for document in judged.documents:
        assert '"""' not in document["code"].partition("\n")[2].lstrip()[:3], document["id"]
    ids = {document["id"] for document in judged.documents}
    assert {id for asked in judged.questions for id in asked.right} == ids


def test_a_docstring_goes_and_all_else_of_a_function_stays() -> None:
    code = '@decorated\ndef f(a):\n    """Say it.\n\n    At length, é.\n    """\n    return "é"  # why\n'
    assert functions.without_docstring(code) == '@decorated\ndef f(a):\n    return "é"  # why\n'
    assert functions.without_docstring("def f(): 'doc'; return 1") == "def f(): ; return 1"
    assert functions.without_docstring("    def f():\n        'doc'\n        return 1\n") == "    def f():\n        return 1\n"
    assert functions.without_docstring("def f():\n    return 'no doc'") == "def f():\n    return 'no doc'"


def test_names_and_ids_are_taken_out_of_a_task() -> None:
    code = 'def solve(n):\n    """As HumanEval/3 says: solve(3) gives 9."""\n'
    cleaned = critiques.without_names(code, "code", frozenset())
    assert "solve" not in cleaned
    assert "HumanEval" not in cleaned
    assert "gives 9" in cleaned
    asked = "Which magazine was started first Arthur's Magazine or First for Women?"
    assert critiques.without_names(asked, "qa", frozenset({"which"})) == "Which magazine was started first or for ?"


def test_the_text_of_a_task_is_in_no_document_about_its_sessions(shared_data: Path) -> None:
    runs = critiques.read(shared_data / "reflexion" / "episodes.jsonl.gz")
    judged = critiques.other_sessions(runs, 100)
    texts = {document["id"]: document["task"] for document in judged.documents}
    for asked in judged.questions:
        lines = {line.strip() for line in asked.group.splitlines() if len(line.strip()) >= critiques.SHORTEST}
        assert lines, asked.group
        assert not any(line in text for line in lines for text in (asked.text, *(texts[id] for id in asked.right)))


def test_all_questions_of_a_group_are_in_one_half_and_both_halves_have_some() -> None:
    halves = [Question(f"{n}", frozenset("a"), f"task {n % 40}").tunes for n in range(400)]
    assert all(halves[n] == halves[n % 40] for n in range(400))
    assert 8 <= sum(halves[:40]) <= 32


# --- measures and intervals --------------------------------------------------------------------------------


def test_measures_of_a_known_ranking() -> None:
    found, right = list("xaxxbxxxxxc"), frozenset("abc")
    values = {name: measure(found, right) for name, measure in MEASURES.items()}
    assert values["MRR@10"] == 1 / 2
    assert values["recall@5"] == values["recall@10"] == pytest.approx(2 / 3)
    best = 1 + 1 / np.log2(3) + 1 / 2
    assert values["nDCG@10"] == pytest.approx((1 / np.log2(3) + 1 / np.log2(6)) / best)


@given(st.permutations(list(range(20))), st.sets(st.integers(0, 19), min_size=1))
def test_measures_are_shares_and_no_ranking_beats_the_right_ones_first(order: list[int], right: set[int]) -> None:
    wanted = frozenset(map(str, right))
    found = [str(place) for place in order]
    best = sorted(found, key=lambda one: one not in wanted)
    for measure in MEASURES.values():
        assert 0 <= measure(found, wanted) <= measure(best, wanted) <= 1
    assert MEASURES["nDCG@10"](best, wanted) == pytest.approx(1)


def test_an_interval_holds_the_mean_and_is_wider_where_groups_agree() -> None:
    chance = np.random.default_rng(1)
    by_group = chance.normal(0.1, 1, 50)
    differences = np.repeat(by_group, 8).tolist()
    apart = arms.paired_interval(differences, [str(n) for n in range(400)])
    together = arms.paired_interval(differences, [str(n // 8) for n in range(400)])
    assert apart[0] == pytest.approx(by_group.mean())
    assert together[0] == pytest.approx(by_group.mean())
    for mean, low, high in (apart, together):
        assert low < mean < high
    assert together[2] - together[1] > 2 * (apart[2] - apart[1])


def test_the_weight_chosen_is_the_nearest_to_even_of_those_as_good_as_the_best() -> None:
    gains = np.zeros((2, len(finding.GRID), 4))
    gains[:, 3], gains[:, 5] = 0.0405, 0.041
    assert finding.chosen(gains) == finding.GRID[3]
    gains[:, 3] = 0.039
    assert finding.chosen(gains) == finding.GRID[5]


def test_a_broken_promise_is_told() -> None:
    figure = helping.Figure
    ours = {
        "quality.functions.MRR@10.gain": figure(0.0, low=-0.02, high=0.02),
        "helps.over.none": figure(0.1, low=0.05, high=0.15),
        "helps.over.shuffled": figure(0.1, low=-0.05, high=0.15),
    }
    assert [promise.met for promise in page.promises(ours)] == [False, False, True, False]
