"""The dataset of the smith agent: what the file promises, and that the agent behind it is honest."""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
SEED = 7

Episode = dict[str, Any]
Load = Callable[[str], Any]


@pytest.fixture
def smith(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Load a module of the generator, which lies beside its data and is not installed."""
    monkeypatch.syspath_prepend(str(DATASETS))
    yield lambda name: importlib.import_module(f"smith.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "smith"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return (DATASETS / "episodes.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.fixture(scope="module")
def episodes(lines: list[str]) -> list[Episode]:
    return [json.loads(line) for line in lines]


def words(text: str) -> frozenset[str]:
    return frozenset(text.lower().replace(",", " ").replace(";", " ").replace(":", " ").strip(".").split())


def toy_recall(episodes: Sequence[Episode]) -> Callable[[str, int], list[Mapping[str, Any]]]:
    """The plainest memory there is: episodes whose task shares the most words."""
    known = [words(episode["task"]) for episode in episodes]

    def recall(text: str, k: int) -> list[Mapping[str, Any]]:
        asked = words(text)
        nearest = sorted(range(len(known)), key=lambda i: (-len(asked & known[i]) / len(asked | known[i]), i))
        return [episodes[i] for i in nearest[:k]]

    return recall


def with_shuffled_critiques(episodes: Sequence[Episode]) -> list[Episode]:
    """The same episodes, each failure with the critique of another."""
    critiques = [episode["critique"] for episode in episodes if episode["critique"]]
    Random(3).shuffle(critiques)
    return [{**episode, "critique": critiques.pop() if episode["critique"] else None} for episode in episodes]


def test_the_first_sessions_come_out_byte_for_byte_as_in_the_file(smith: Load, lines: list[str]) -> None:
    made = smith("episodes").written(smith("generate").Run(SEED, sessions=5).episodes())
    assert len(made) > 10_000
    assert "".join(lines).startswith(made)


@pytest.mark.slow
def test_the_generator_writes_the_whole_file_again_byte_for_byte(smith: Load, tmp_path: Path) -> None:
    out = tmp_path / "episodes.jsonl"
    smith("generate").main(["--seed", str(SEED), "--out", str(out)])
    assert out.read_bytes() == (DATASETS / "episodes.jsonl").read_bytes()


def test_another_seed_gives_other_episodes(smith: Load, lines: list[str]) -> None:
    run = smith("generate").Run(SEED + 1, sessions=1)
    assert smith("episodes").written(run.episodes()) not in "".join(lines)


def test_every_line_validates_against_the_schema(episodes: list[Episode]) -> None:
    schema = json.loads((DATASETS / "episodes.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for episode in episodes for error in validator.iter_errors(episode)] == []


def test_a_critique_comes_with_every_failure_and_with_no_success(episodes: list[Episode]) -> None:
    assert all(bool(episode["critique"]) is not episode["success"] for episode in episodes)


def test_there_are_enough_episodes_sessions_tasks_and_families(episodes: list[Episode]) -> None:
    assert len(episodes) >= 500
    assert len({episode["session"] for episode in episodes}) >= 60
    assert len({episode["task"] for episode in episodes}) > 150
    assert len({episode["metadata"]["family"] for episode in episodes}) >= 8
    assert 0.25 <= sum(episode["success"] for episode in episodes) / len(episodes) < 0.5


def test_ids_are_unique_and_times_go_forward(episodes: list[Episode]) -> None:
    assert len({episode["id"] for episode in episodes}) == len(episodes)
    times = [episode["at"] for episode in episodes]
    assert times == sorted(set(times))


def test_several_attempts_share_the_exact_text_of_their_task(episodes: list[Episode]) -> None:
    attempts = Counter(episode["task"] for episode in episodes)
    assert sum(count > 1 for count in attempts.values()) > 100


def test_the_reward_is_the_share_of_hidden_tests_passed(episodes: list[Episode]) -> None:
    for episode in episodes:
        told = episode["metadata"]
        assert episode["reward"] == round(told["hidden_passed"] / told["hidden_total"], 4)
        assert sum(told["symptoms"].values()) == told["hidden_total"] - told["hidden_passed"]


def test_judging_a_recorded_program_again_gives_its_recorded_reward(
    smith: Load, episodes: list[Episode]
) -> None:
    for episode in Random(1).sample(episodes, 120):
        task = smith("tasks").set_task(episode["metadata"]["family"], episode["metadata"]["number"])
        source = episode["output"].partition("\n")[0].removeprefix("program: ")
        program = smith("program").parse(source)
        assert task.text == episode["task"]
        assert program.source == source
        assert smith("judge").judged(task, program).reward == episode["reward"]


def test_the_reference_program_of_a_task_passes_its_hidden_tests(smith: Load) -> None:
    for task in islice(smith("tasks").draw_tasks(Random(4), fresh=True), 24):
        assert smith("judge").judged(task, task.program).success


def test_the_agent_sees_of_a_task_its_text_and_examples_only(smith: Load) -> None:
    assert set(smith("brief").Brief.__dataclass_fields__) == {"text", "examples"}
    assert set(smith("brief").Verdict.__dataclass_fields__) == {"passed", "total", "symptoms"}


def test_no_module_of_the_agent_can_reach_the_task_setter_or_the_judge() -> None:
    agents = ("agent", "brief", "clauses", "critic", "lessons", "probes", "search", "widening")
    for name in agents:
        source = (DATASETS / "smith" / f"{name}.py").read_text(encoding="utf-8")
        for secret in ("tasks", "judge", "vocabulary", "samples", "trial", "generate"):
            assert f"smith.{secret}" not in source, f"{name} imports {secret}"


def test_no_hidden_test_is_told_in_an_episode(smith: Load, episodes: list[Episode]) -> None:
    """Visible inputs are looked for in the same way, to see that the looking works."""

    def is_told(value: Any, episode: Episode) -> bool:
        return json.dumps(value, ensure_ascii=False) in f"{episode['input']} {episode['critique']}"

    for episode in Random(2).sample(episodes, 120):
        task = smith("tasks").set_task(episode["metadata"]["family"], episode["metadata"]["number"])
        visible = {value for value, _ in task.examples}
        assert all(is_told(value, episode) for value in visible)
        assert not any(is_told(value, episode) for value, _ in task.hidden if value not in visible)


def test_fresh_tasks_are_never_in_the_dataset(smith: Load, episodes: list[Episode]) -> None:
    practised = {episode["task"] for episode in episodes}
    assert not any(smith("tasks").is_fresh(text) for text in practised)
    assert practised.isdisjoint(task.text for task in smith("trial").fresh_tasks(seed=5, count=60))


def test_the_agent_keeps_to_its_budget_of_attempts(smith: Load) -> None:
    trials = smith("trial").run_trials(seed=2, budget=2, count=12)
    assert all(1 <= len(trial.attempts) <= 2 for trial in trials)


def test_a_lesson_is_read_out_of_a_critique(smith: Load) -> None:
    said = '"tidy" meant even_spaces (one blank between words and none at the ends), not strip_edges.'
    read = {lesson.operation: lesson.strength for lesson in smith("lessons").critique_lessons(said)}
    assert read == {"even_spaces": 1.0, "strip_edges": -1.0}


def test_a_critique_about_the_same_words_brings_the_right_program_earlier(smith: Load) -> None:
    brief = smith("brief").Brief("Names of the dinner guests: tidy.", ((("  Bo Dunn ",), ("Bo Dunn",)),))
    lesson = '"tidy" meant even_spaces (one blank between words and none at the ends), not strip_edges.'
    episode = {"task": "The guests who answered: tidy.", "output": "", "success": False, "critique": lesson}
    tried: list[list[str]] = []
    for recall in (None, lambda _text, _k: [episode]):
        verdict = smith("brief").Verdict(0, 1, (("blanks", 1),))
        attempts = smith("agent").Agent(recall, budget=1).solve(brief, lambda _program, v=verdict: v)
        tried.append([attempt.program.source for attempt in attempts])
    assert tried == [["strip_edges"], ["even_spaces"]]


def test_critiques_help_on_fresh_tasks_and_shuffled_ones_clearly_less(
    smith: Load, episodes: list[Episode]
) -> None:
    evaluate = smith("trial").evaluate
    none = evaluate(1, budget=3, count=36)
    remembering = evaluate(1, budget=3, recall=toy_recall(episodes), count=36)
    shuffled = evaluate(1, budget=3, recall=toy_recall(with_shuffled_critiques(episodes)), count=36)
    assert remembering >= none + 0.12
    assert remembering >= shuffled + 0.08


def test_the_figures_in_the_readme_are_those_of_the_file(smith: Load, episodes: list[Episode]) -> None:
    counted = smith("figures")
    assert counted.table(counted.figures(episodes)) in (DATASETS / "README.md").read_text(encoding="utf-8")
