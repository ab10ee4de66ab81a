"""Skills from the functions of Python modules."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import graphsvc
from graphsvc.errors import BadInput
from graphsvc.memory.importing import ImportReport, import_python, python_modules

from .conftest import Run, environment

Package = Callable[..., None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Writes modules that can be found, and would say so if they were run."""
    root = tmp_path / "site"
    root.mkdir()
    monkeypatch.syspath_prepend(str(root))

    def write(**files: str | bytes) -> None:
        for name, text in files.items():
            path = root.joinpath(*name.split("__SLASH__"))
            path = path.parent / (path.name.replace("_DOT_", "."))
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, bytes):
                path.write_bytes(text)
            else:
                path.write_text("raise SystemExit('it was run')\n" + textwrap.dedent(text))
        python_modules.PathFinder.invalidate_caches()

    return write


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.stored, report.already, report.revised, report.links


def calls(memory: graphsvc.Memory, id: str) -> list[str]:
    return sorted(link.id for link in memory.skills.links(id) if (link.type, link.direction) == ("calls", "out"))


SHOP = '''
    import os
    from functools import lru_cache as remember

    @remember(maxsize=None)
    def price(item: str, *, tax: float = 0.2) -> float:
        """What an item costs.

        With tax.
        """
        return base(item) * (1 + tax)

    async def base(item):
        return await base(item) or total([item])

    def total(items):
        return sum(price(item) for item in items)

    def _hidden():
        pass

    class Basket(list):
        """Things to buy."""

        def add(self, item):
            self.check(item)
            super().append(item)

        def check(self, item):
            price(item)
            os.getcwd()

        @classmethod
        def of(cls, items):
            basket = cls()
            basket.add(items)
            return basket

        @property
        def cost(self):
            return total(self)

        @cost.setter
        def cost(self, value):
            pass

        class Inner:
            def deep(self): return Basket.of([])
'''


def test_functions_and_methods_become_skills_with_their_texts(memory: graphsvc.Memory, package: Package) -> None:
    package(shop_DOT_py=SHOP)
    report = import_python(memory, ["shop"])
    assert report.stored == 8
    assert report.skipped_by_code == {"private": 1, "replaced": 1}
    price = memory.skills.get("shop.price")
    assert price.name == "shop.price"
    assert price.signature == "price(item: str, *, tax: float=0.2) -> float"
    assert price.description == "What an item costs.\n\nWith tax."
    assert price.code.startswith("@remember(maxsize=None)\ndef price(")
    assert price.code.endswith("* (1 + tax)")
    assert price.tags == ("shop",)
    assert memory.skills.get("shop.base").signature == "async base(item)"
    assert memory.skills.get("shop.Basket.add").code.startswith("def add(self, item):\n    self.check")
    assert "return total(self)" in memory.skills.get("shop.Basket.cost").code
    assert memory.skills.get("shop.Basket.Inner.deep").name == "shop.Basket.Inner.deep"


def test_calls_become_links_circles_and_loops_too(memory: graphsvc.Memory, package: Package) -> None:
    package(shop_DOT_py=SHOP)
    import_python(memory, ["shop"])
    assert calls(memory, "shop.price") == ["shop.base"]
    assert calls(memory, "shop.base") == ["shop.base", "shop.total"]
    assert calls(memory, "shop.total") == ["shop.price"]
    assert calls(memory, "shop.Basket.add") == ["shop.Basket.check"]
    assert calls(memory, "shop.Basket.check") == ["shop.price"]
    assert calls(memory, "shop.Basket.of") == []  # what `basket` is, the text doesn't say
    assert calls(memory, "shop.Basket.cost") == ["shop.total"]
    assert calls(memory, "shop.Basket.Inner.deep") == ["shop.Basket.of"]
    assert [skill.id for skill in memory.skills.plan("shop.price")] == ["shop.price"]
    assert memory.verify().ok


def test_names_are_followed_through_imports_packages_and_base_classes(
    memory: graphsvc.Memory, package: Package
) -> None:
    package(
        pack__SLASH____init___DOT_py="from .core import *\nfrom .sub.deep import Root as Base\n",
        pack__SLASH__core_DOT_py="def work(): pass\n",
        pack__SLASH__sub__SLASH____init___DOT_py="",
        pack__SLASH__sub__SLASH__deep_DOT_py="""
            from .. import core as c
            from ..core import work as w
            class Root:
                def __init__(self): w()
                def grow(self): c.work()
            """,
        user_DOT_py="""
            import pack, pack.core as pc
            from pack import Base
            from pack.core import work
            class Tree(Base):
                def live(self):
                    self.grow()
                def grow(self):
                    super().grow()
            def main():
                pack.work()
                pc.work()
                Tree()
            def late():
                from pack.core import work as inner
                inner()
            def shadowed(work):
                work()
            """,
    )
    import_python(memory, ["pack", "user"], private=True)
    assert calls(memory, "pack.sub.deep.Root.grow") == ["pack.core.work"]
    assert calls(memory, "pack.sub.deep.Root.__init__") == ["pack.core.work"]
    assert calls(memory, "user.Tree.live") == ["user.Tree.grow"]
    assert calls(memory, "user.Tree.grow") == ["pack.sub.deep.Root.grow"]
    assert calls(memory, "user.main") == ["pack.core.work", "pack.sub.deep.Root.__init__"]
    assert calls(memory, "user.late") == ["pack.core.work"]
    assert calls(memory, "user.shadowed") == []


def test_circular_imports_and_bases_end(memory: graphsvc.Memory, package: Package) -> None:
    package(
        ring_DOT_py="from gnir import thing, K\nclass L(K):\n  def f(self): self.nowhere()\ndef g(): thing()\n",
        gnir_DOT_py="from ring import thing, L\nclass K(L):\n  def h(self): self.f()\n",
    )
    import_python(memory, ["ring", "gnir"])
    assert calls(memory, "gnir.K.h") == ["ring.L.f"]
    assert calls(memory, "ring.g") == []


def test_importing_again_changes_nothing(memory: graphsvc.Memory, package: Package) -> None:
    package(shop_DOT_py=SHOP)
    first = import_python(memory, ["shop"])
    head = memory.status()["head"]
    assert counts(import_python(memory, ["shop"])) == (0, first.stored, 0, 0)
    assert memory.status()["head"] == head


def test_a_changed_function_becomes_a_new_version_with_the_calls_it_now_makes(
    memory: graphsvc.Memory, package: Package
) -> None:
    package(shop_DOT_py=SHOP)
    import_python(memory, ["shop"])
    memory.skills.record_outcome("shop.total", success=True)
    package(shop_DOT_py=SHOP.replace("return sum(price(item) for item in items)", "return Basket.of(items).cost"))
    report = import_python(memory, ["shop"])
    assert counts(report) == (0, 7, 1, 1)
    total = memory.skills.get("shop.total")
    assert (total.version, total.uses) == (2, 1)
    assert calls(memory, "shop.total") == ["shop.Basket.of"]
    assert memory.verify().ok


def test_a_deleted_skill_stays_deleted(memory: graphsvc.Memory, package: Package) -> None:
    package(shop_DOT_py=SHOP)
    import_python(memory, ["shop"])
    memory.skills.delete("shop.total")
    report = import_python(memory, ["shop"])
    assert report.skipped_by_code["gone"] == 1
    assert calls(memory, "shop.Basket.cost") == []


def test_a_dry_run_tells_the_same_and_writes_nothing(memory: graphsvc.Memory, package: Package) -> None:
    package(shop_DOT_py=SHOP)
    head = memory.status()["head"]
    dry = import_python(memory, ["shop"], dry_run=True)
    assert memory.status()["head"] == head
    wet = import_python(memory, ["shop"])
    assert {**dry.as_dict(), "dry_run": False, "seconds": 0} == {**wet.as_dict(), "seconds": 0}
    package(shop_DOT_py=SHOP.replace("tax: float = 0.2", "tax: float = 0.3"))
    dry = import_python(memory, ["shop"], dry_run=True)
    assert counts(dry) == (0, 7, 1, 0)
    assert memory.skills.get("shop.price").version == 1


def test_what_cannot_be_read_is_skipped_with_the_reason(memory: graphsvc.Memory, package: Package) -> None:
    package(
        good_DOT_py="def fine(): pass\n",
        broken_DOT_py="def (:\n",
        odd_DOT_py=b"# coding: no-such-coding\n",
        nul_DOT_py=b"def f():\n    return '\x00'\n",
        half_DOT_py=b'def f():\n    """\\ud800"""\n',
        long_DOT_py="def f():\n    return '" + "x" * (1 << 20) + "'\n",
        huge_DOT_py=b"x = 1\n" * 800_000,
    )
    names = ["good", "broken", "odd", "nul", "half", "long", "huge", "sys", "nosuch", "a b", "good.deeper", "_json"]
    report = import_python(memory, names)
    reasons = {skipped.place: skipped.code for skipped in report.skipped}
    assert report.stored == 1
    assert reasons["broken"] == "syntax_error"
    assert reasons["odd"] == "unreadable"
    assert reasons["nul"] == "syntax_error"
    assert reasons["half.f"] == "bad_input"
    assert reasons["long.f"] == "too_large"
    assert reasons["huge"] == "too_large"
    assert reasons["sys"] == "no_source"
    assert reasons["_json"] == "no_source"
    assert {reasons[name] for name in ("nosuch", "a b", "good.deeper")} == {"not_found"}


def test_wrong_arguments_are_refused(memory: graphsvc.Memory) -> None:
    for modules, options in (([], {}), ([1], {}), (["json"], {"batch": 0})):
        with pytest.raises(BadInput):
            import_python(memory, modules, **options)


def test_submodules_and_private_names_come_when_asked_for(memory: graphsvc.Memory, package: Package) -> None:
    package(
        box__SLASH____init___DOT_py="def top(): pass\n",
        box__SLASH____main___DOT_py="def run(): pass\n",
        box__SLASH___secret_DOT_py="def dark(): pass\n",
        box__SLASH__inner_DOT_py="def deep(): pass\ndef _low(): pass\n",
    )
    assert import_python(memory, ["box"], submodules=False, dry_run=True).stored == 1
    assert import_python(memory, ["box"], dry_run=True).stored == 2
    assert import_python(memory, ["box"], private=True).stored == 5


def test_no_module_is_imported_by_reading_it() -> None:
    script = """
        import sys
        from graphsvc.memory.importing import python_modules, python_functions
        before = set(sys.modules)
        for name in ("antigravity", "idlelib", "turtle", "email.mime.text", "this"):
            for deeper in python_modules.below(name, private=True):
                python_functions.contents(python_modules.read(deeper))
        print(sorted(set(sys.modules) - before))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_thousand_functions_of_the_standard_library_become_skills(memory: graphsvc.Memory) -> None:
    from graphsvc.demo import MODULES

    report = import_python(memory, MODULES)
    assert report.stored >= 1_000
    assert report.links >= 400
    assert not {"syntax_error", "not_found", "unreadable"} & report.skipped_by_code.keys()
    assert "json.loads" in calls(memory, "json.load")
    assert "tempfile.mkdtemp" in {hit.skill.id for hit in memory.skills.search("create a temporary directory", 10)}


def test_the_command_reports_and_fails_only_where_nothing_was_read(
    memory: graphsvc.Memory, run: Run, answer: Run
) -> None:
    said: Any = answer("import", "python", "colorsys", "nosuch")
    assert said["stored"] == 6
    assert said["skipped"][0] == {"place": "nosuch", "code": "not_found", "why": "no such module is installed"}
    assert "not_found" in run("import", "python", "nosuch", code=1).stdout


def test_functions_that_are_gone_are_reported_and_retired_when_asked(
    memory: graphsvc.Memory, package: Package, run: Run
) -> None:
    package(
        box__SLASH____init___DOT_py="def top(): pass\ndef stays(): top()\n",
        box__SLASH__old_DOT_py="def deep(): pass\n",
        box__SLASH__broken_DOT_py="def kept(): pass\n",
        other_DOT_py="def fine(): pass\n",
    )
    import_python(memory, ["box", "other"])
    memory.skills.create(id="box.mine", name="my own", tags=["box"], description="of no module")
    package(box__SLASH____init___DOT_py="def stays(): pass\n", box__SLASH__broken_DOT_py="def (:\n")
    old = next(Path(place) for place in __import__("sys").path if (Path(place) / "box" / "old.py").exists())
    (old / "box" / "old.py").unlink()
    assert import_python(memory, ["box"], submodules=False).vanished == ["box.top"]
    report = import_python(memory, ["box", "other"])
    assert (report.vanished, report.retired) == (["box.old.deep", "box.top"], 0)
    assert memory.skills.get("box.top").version == 1, "only reported"
    shown = run("import", "python", "box", "--dry-run").stdout
    assert "box.old.deep" in shown
    assert "--retire" in shown
    assert import_python(memory, ["box"], retire=True, dry_run=True).retired == 2
    assert import_python(memory, ["box"], retire=True).retired == 2
    assert {skill.id for skill in memory.skills.list()} == {"box.stays", "box.broken.kept", "box.mine", "other.fine"}
    assert import_python(memory, ["box"]).vanished == []
    assert memory.verify().ok


def test_a_module_that_is_no_python_names_its_file_and_an_empty_name_is_said_to_be_empty(
    memory: graphsvc.Memory, package: Package, error: Run
) -> None:
    package(broken_DOT_py="def (:\n")
    why = import_python(memory, ["broken"]).skipped[0].why
    assert why.startswith("is no Python: ")
    assert why.endswith("broken.py, line 2)")
    said = error("import", "python", "")
    assert (said["code"], said["what"]) == ("bad_input", "the name is empty")
