"""Modules beside scenarios: folders that have one of the same name, files that are changed between two runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.strategies.check import named_object
from marketsim.strategies.find import problem_of
from marketsim.strategies.users_modules import import_from

CLASS = """
import um_common
class Rule:
    where = {where!r}
    helper = um_common.WHERE
    def price(self, request):
        return 1
"""


@pytest.fixture(autouse=True)
def forgets() -> Iterator[None]:
    """Leaves the process with the modules and the path that it had."""
    known, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith("um_"):
            del sys.modules[name]


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "um_rule.py").write_text(CLASS.format(where=name))
        (folder / "um_common.py").write_text(f"WHERE = {name!r}\n")
        made.append(folder)
    return made


def rule(folder: Path) -> type:
    found = named_object("um_rule:Rule", (folder,), "here")
    assert isinstance(found, type)
    return found


def test_each_folder_gets_its_own_and_what_that_imports(folders: list[Path]) -> None:
    first, second = rule(folders[0]), rule(folders[1])
    assert [(one.where, one.helper) for one in (first, second)] == [("a", "a"), ("b", "b")]  # type: ignore[attr-defined]
    assert rule(folders[0]) is first, "the same class again, so that what it made is still of it"
    assert rule(folders[1]) is second


def test_a_notebook_that_imported_another_of_the_name_is_not_in_the_way(folders: list[Path]) -> None:
    sys.path.insert(0, str(folders[1]))
    __import__("um_rule")
    assert rule(folders[0]).where == "a"  # type: ignore[attr-defined]
    assert named_object("um_rule:Rule", (), "here").where == "b", "without a folder it is the path's"


def test_a_nested_folder_is_another_folder(folders: list[Path]) -> None:
    inner = folders[0] / "inner"
    inner.mkdir()
    (inner / "um_rule.py").write_text("class Rule:\n    where = 'inner'\n")
    assert [rule(folder).where for folder in (inner, folders[0], inner)] == ["inner", "a", "inner"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("changed", ["um_rule.py", "um_common.py"])
def test_a_changed_file_is_read_again(folders: list[Path], changed: str) -> None:
    before = rule(folders[0])
    file = folders[0] / changed
    file.write_text(file.read_text().replace("'a'", "'z'"))
    after = rule(folders[0])
    assert after is not before
    assert "z" in (after.where, after.helper)  # type: ignore[attr-defined]


def test_a_name_of_pythons_own_is_refused_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("class Rule: pass\n")
    kept = sys.modules.get("random")
    with pytest.raises(InputError, match=r"random is also the name of a module of Python .*another name"):
        named_object("random:Rule", (tmp_path,), "here")
    assert sys.modules.get("random") is kept


def test_a_check_before_the_run_looks_into_the_same_file(folders: list[Path]) -> None:
    (folders[1] / "um_rule.py").write_text("class Other:\n    pass\n")
    rule(folders[0])
    assert problem_of("um_rule:Rule", (folders[0],)) is None
    assert "Other" in str(problem_of("um_rule:Rule", (folders[1],)))


def test_marketsims_own_modules_are_never_set_aside(folders: list[Path]) -> None:
    root = Path(sys.modules["marketsim"].__path__[0]).parent
    (folders[0] / "um_uses.py").write_text("import marketsim.report.phrases\n")
    before = set(sys.modules)
    import_from("um_uses", (root, folders[0]))
    import_from("um_common", (folders[1],))
    assert {name for name in before if name.startswith("marketsim")} <= set(sys.modules)
    assert "marketsim.report.phrases" in sys.modules
