"""Commits, files and judgements from git repositories."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.memory.importing import ImportReport, import_git
from graphsvc.memory.importing.git_log import path_of

from .conftest import Run
from .repositories import START, History, git, long_history

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def counts(report: ImportReport) -> tuple[int, int, int]:
    return report.read, report.stored, report.already


def test_a_history_of_more_than_a_thousand_commits_becomes_episodes_files_and_judgements(
    memory: graphsvc.Memory, tmp_path: Path
) -> None:
    path, judged, hashes = long_history(tmp_path / "project")
    assert len(judged) > 60
    seen: list[float | None] = []
    report = import_git(memory, path, progress=lambda share, so_far: seen.append(share))
    assert counts(report) == (1_200, 1_200, 0)
    assert seen[-1] == 1.0
    assert seen == sorted(share for share in seen if share is not None)
    assert report.amended == len(judged)
    assert report.skipped_by_code == {}
    rewards = {"revert": 0.0, "fix": 0.5}
    for hash in hashes:
        episode = memory.episodes.get(f"project@{hash}")
        assert episode.success == (hash not in judged)
        assert episode.reward == rewards.get(judged.get(hash, ""), 1.0)
        if hash in judged:
            later = memory.episodes.evidence(episode.id)
            assert [one.metadata["hash"] for one in later] == [later[0].metadata["hash"]]
            assert later[0].metadata["hash"][:12] in (episode.critique or "")
            assert later[0].at > episode.at
    files = memory.entities.list({"kind": "file"}, k=1000)
    assert len(files) == memory.entities.count() == report.entities == 40
    every = [episode.id for file in files for episode in memory.entities.episodes(file.id, k=10_000)]
    assert len(set(every)) == 1_200
    assert memory.verify().ok


def test_imported_again_nothing_is_added_and_new_commits_are(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    first = history.commit("Begin\n", {b"a.py": b"1\n"})
    history.commit("Go on\n", {b"a.py": b"2\n"})
    history.write()
    import_git(memory, history.path)
    head = memory.status()["head"]
    again = import_git(memory, history.path)
    assert counts(again) == (2, 0, 2)
    assert (again.links, again.amended, again.entities) == (0, 0, 0)
    assert memory.status()["head"] == head

    memory.episodes.amend(f"project@{first}", critique="my own words")
    history.commit(f"Revert it\n\nThis reverts commit {first}.\n", {b"a.py": b"0\n"})
    history.write()
    more = import_git(memory, history.path)
    assert (more.stored, more.already, more.amended) == (1, 2, 1)
    assert "Revert it" in (memory.episodes.get(f"project@{first}").critique or "")
    memory.episodes.amend(f"project@{first}", critique="my own words")
    import_git(memory, history.path)
    assert memory.episodes.get(f"project@{first}").critique == "my own words"


def test_what_a_commit_says_of_itself_is_in_its_episode(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    history.commit("Begin\n", {b"old name.py": b"1\n2\n3\n4\n5\n", b"gone.py": b"x\n"})
    hash = history.commit(
        "Move it\n\nThe name said nothing.\n\nSecond paragraph.\n",
        {b"old name.py": None, b"new.py": b"1\n2\n3\n4\n5\n6\n", b"gone.py": None, b"picture.png": b"\0\1\2"},
    )
    import_git(memory, history.write())
    episode = memory.episodes.get(f"project@{hash}")
    assert (episode.session, episode.task) == ("project", "Move it")
    assert episode.input == "The name said nothing.\n\nSecond paragraph."
    assert episode.at.timestamp() == START + 60
    assert episode.tags == ("commit",)
    assert episode.output.splitlines() == [
        "3 files changed, 1 insertions, 1 deletions",
        "D +0 -1 gone.py",
        "R +1 -0 old name.py → new.py",
        "A binary picture.png",
    ]
    assert episode.metadata["author"] == "Ada Lovelace"
    assert "@example.org" not in str(episode)
    about = [entity.name for entity in memory.episodes.about(episode.id)]
    assert about == ["project/gone.py", "project/new.py", "project/old name.py", "project/picture.png"]
    assert memory.entities.get("file:project/new.py").metadata == {"repository": "project", "path": "new.py"}


def test_merges_are_episodes_and_their_files_stay_with_the_commits_that_changed_them(
    memory: graphsvc.Memory, tmp_path: Path
) -> None:
    history = History(tmp_path / "project")
    history.commit("Begin\n", {b"a": b"1\n"})
    history.commit("One side\n", {b"b": b"1\n"}, parents=[0])
    history.commit("Other side\n", {b"c": b"1\n"}, parents=[0])
    merge = history.commit("Merge\n", {b"c": b"1\n"}, parents=[1, 2])
    assert counts(import_git(memory, history.write())) == (4, 4, 0)
    episode = memory.episodes.get(f"project@{merge}")
    assert episode.tags == ("commit", "merge")
    assert episode.metadata["parents"] == history.hashes[1:3]
    assert memory.episodes.about(episode.id) == []


def test_odd_encodings_and_names_are_kept_readable(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    hash = history.commit(b"Gr\xfc\xdfe \x1b[31m\n", {b"caf\xe9.txt": b"x\n", "名前.txt".encode(): b"y\n", b"a\nb\tc": b"z\n"})
    empty = history.commit("", {b"x": b"1"})
    report = import_git(memory, history.write())
    assert counts(report) == (2, 2, 0)
    assert memory.episodes.get(f"project@{hash}").task.startswith("Gr")
    assert memory.episodes.get(f"project@{empty}").task == "(a commit without a message)"
    names = {entity.metadata["path"] for entity in memory.episodes.about(f"project@{hash}")}
    assert names == {"caf\\xe9.txt", "名前.txt", "a\\x0ab\\x09c"}


def test_commits_of_one_second_keep_their_order(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    for number in range(9):
        history.commit(f"{number}\n", {b"a": b"%d\n" % number}, seconds=START)
    import_git(memory, history.write())
    assert [episode.task for episode in memory.episodes.list(order="oldest")] == list("012345678")


def test_a_path_too_long_for_a_name_is_reported_and_its_commit_kept(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    deep = b"/".join([b"d" * 100] * 6)
    hash = history.commit("Deep\n", {deep: b"x\n", b"a": b"y\n"})
    report = import_git(memory, history.write())
    assert report.skipped_by_code == {"too_large": 1}
    assert [entity.name for entity in memory.episodes.about(f"project@{hash}")] == ["project/a"]


def test_a_reverted_revert_gives_the_first_its_success_back(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    first = history.commit("Faster path\n", {b"a": b"1\n"})
    revert = history.commit(f'Revert "Faster path"\n\nThis reverts commit {first}.\n', {b"a": b"0\n"})
    import_git(memory, history.write())
    assert memory.episodes.get(f"project@{first}").success is False
    again = history.commit(f'Revert "Revert "Faster path""\n\nThis reverts commit {revert}.\n', {b"a": b"1\n"})
    report = import_git(memory, history.write())
    assert (report.stored, report.amended) == (1, 2)
    episode = memory.episodes.get(f"project@{first}")
    assert (episode.success, episode.reward, episode.critique) == (True, 1.0, None)
    assert memory.episodes.get(f"project@{revert}").success is False
    assert {one.metadata["hash"] for one in memory.episodes.evidence(episode.id)} == {revert, again}
    # at once as one after the other
    with graphsvc.open(tmp_path / "other", embedder="hashing") as other:
        import_git(other, history.path)
        for hash in history.hashes:
            mine, theirs = memory.episodes.get(f"project@{hash}"), other.episodes.get(f"project@{hash}")
            assert mine == theirs


def test_fixups_and_reverts_by_subject_are_found_and_unknown_hashes_reported(
    memory: graphsvc.Memory, tmp_path: Path
) -> None:
    history = History(tmp_path / "project")
    first = history.commit("Parse dates\n", {b"a": b"1\n"})
    second = history.commit("Print dates\n", {b"a": b"2\n"})
    history.commit("fixup! Parse dates\n", {b"a": b"3\n"})
    history.commit('Revert "Print dates"\n', {b"a": b"4\n"})
    history.commit("Fixes 1234567 and the word effaced\n\nThis reverts commit 0123456789ab.\n", {b"a": b"5\n"})
    report = import_git(memory, history.write())
    assert memory.episodes.get(f"project@{first}").reward == 0.5
    assert memory.episodes.get(f"project@{second}").reward == 0.0
    assert report.skipped_by_code == {"unknown_commit": 1}
    assert "0123456789ab" in report.skipped[0].why


def test_a_dry_run_counts_what_an_import_does_and_writes_nothing(memory: graphsvc.Memory, tmp_path: Path) -> None:
    path, _, _ = long_history(tmp_path / "project", 120)
    plan = import_git(memory, path, dry_run=True)
    assert memory.status()["head"] == 0
    done = import_git(memory, path)
    for name in ("read", "stored", "already", "links", "entities", "amended"):
        assert getattr(plan, name) == getattr(done, name), name
    again = import_git(memory, path, dry_run=True)
    assert (again.stored, again.already, again.links, again.amended) == (0, 120, 0, 0)


def test_a_deleted_commit_stays_deleted_and_a_deleted_file_is_reported(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    first = history.commit("Begin\n", {b"a": b"1\n"})
    history.commit(f"Back\n\nThis reverts commit {first}.\n", {b"a": b"0\n", b"b": b"1\n"})
    import_git(memory, history.write())
    memory.episodes.delete(f"project@{first}")
    memory.entities.delete("file:project/b")
    report = import_git(memory, history.path)
    assert report.skipped_by_code == {"gone": 2}
    assert (report.already, report.amended, report.links) == (1, 0, 0)


@pytest.mark.parametrize("what", ["nothing there", "no repository", "no commits", "no such branch", "damaged"])
def test_what_is_no_repository_is_a_clear_error(memory: graphsvc.Memory, tmp_path: Path, what: str) -> None:
    path = tmp_path / "project"
    if what in ("no such branch", "damaged"):
        history = History(path)
        for number in range(30):
            history.commit(f"{number}\n", {b"a": b"%d\n" % number})
        history.write()
    elif what != "nothing there":
        path.mkdir()
        if what == "no commits":
            git(path, "init", "-q", ".")
    if what == "damaged":
        tree = git(path, "rev-parse", "HEAD~9^{tree}")
        (path / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(BadInput) as caught:
        import_git(memory, path, revision="nowhere" if what == "no such branch" else "HEAD")
    assert caught.value.where == str(path)
    assert memory.verify().ok


def test_options_of_git_can_not_be_smuggled_in(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    history.commit("Begin\n", {b"a": b"1\n"})
    history.write()
    for wrong in ("--output=/tmp/x", "--all", "", "a\0b"):
        with pytest.raises(BadInput):
            import_git(memory, history.path, revision=wrong)


def test_a_repository_can_not_have_programs_of_its_own_run(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    history.commit("Begin\n", {b"a.x": b"1\n", b".gitattributes": b"*.x diff=evil\n"})
    history.commit("On\n", {b"a.x": b"2\n"})
    history.write()
    git(history.path, "checkout", "-q", "-f", "main")
    mark = tmp_path / "ran"
    for name in ("diff.external", "diff.evil.textconv", "diff.evil.command", "core.fsmonitor", "gpg.program", "core.pager"):
        git(history.path, "config", name, f"touch {mark}")
    git(history.path, "config", "log.showSignature", "true")
    import_git(memory, history.path)
    assert not mark.exists()


def test_a_bare_repository_and_a_folder_within_one_are_read(memory: graphsvc.Memory, tmp_path: Path) -> None:
    history = History(tmp_path / "project")
    history.commit("Begin\n", {b"src/a": b"1\n"})
    history.write()
    git(tmp_path, "clone", "-q", "--bare", str(history.path), "copy.git")
    git(history.path, "checkout", "-q", "-f", "main")
    assert import_git(memory, history.path / "src").stored == 1
    assert import_git(memory, tmp_path / "copy.git", name="project").already == 1
    assert import_git(memory, tmp_path / "copy.git").stored == 1
    assert memory.episodes.count({"session": "copy"}) == 1


@pytest.mark.parametrize(
    ("path", "name"), [(b"a/b.py", "a/b.py"), (b"\xff", "\\xff"), ("é".encode(), "é"), (b"a\x7fb\n", "a\\x7fb\\x0a")]
)
def test_paths_become_names(path: bytes, name: str) -> None:
    assert path_of(path) == name


def test_the_command_reports_to_people_and_programs(run: Run, answer: Run, error: Run, tmp_path: Path) -> None:
    path, judged, _ = long_history(tmp_path / "project", 150)
    run("init", "--embedder", "hashing")
    found = answer("import", "git", str(path), "--dry-run")
    assert (found["dry_run"], found["stored"], found["amended"]) == (True, 150, len(judged))
    shown = run("import", "git", str(path)).stdout
    assert "amended" in shown
    assert "entities" in shown
    files = answer("entities", "list", "--where", '{"kind": "file"}')
    assert files["count"] == found["entities"] > 30
    about = answer("entities", "episodes", files["entities"][0]["id"])["episodes"]
    entities = answer("episodes", "about", about[0]["id"])["entities"]
    assert files["entities"][0]["id"] in [one["id"] for one in entities]
    hash = next(iter(judged))
    assert len(answer("episodes", "evidence", f"project@{hash}")["episodes"]) == 1
    assert error("import", "git", str(tmp_path / "none"))["code"] == "bad_input"
