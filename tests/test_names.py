"""Names and imports of the package: rows are read by name, no class name stands twice, files import each other in one direction."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from marketsim.kernel.rows import Schema

PACKAGE = Path(__file__).parents[1] / "marketsim"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text("utf-8")) for file in FILES}

BY_NUMBER = {
    "chain/edge.py": {
        "self.state.wallets[rows, Wallet.rank]": "writes the rank of many wallets at once",
        "self.state.drafts[first + at, OfferedUnit.resource]": "entries of an offer lie in rows of another class",
        "self.state.drafts[first + at, OfferedUnit.count]": "entries of an offer lie in rows of another class",
    },
    "chain/leasing.py": {
        "s.drafts[entry, OfferedUnit.resource]": "entries of an offer lie in rows of another class",
        "s.drafts[entry, OfferedUnit.count]": "entries of an offer lie in rows of another class",
        "s.drafts[other, OfferedUnit.resource]": "entries of an offer lie in rows of another class",
    },
    "simulation/messages.py": {
        "chain.wallets[coins, Wallet.balance]": "writes the coins of many wallets at once",
        "wallets[rows, Wallet.rank]": "writes the rank of many wallets at once",
    },
}
"""Accesses to one column by row and number, of the rooms that have none but these, with the reason."""
LISTS = {"chain/edge.py": {"row", "draft"}, "chain/parsing.py": {"row"}, "chain/rendering.py": {"values", "d"}}
"""Lists of Python's integers made of rows, which have no names."""


def schemas_of(tree: ast.Module) -> dict[str, Schema]:
    """The row classes that a file names."""
    import marketsim.chain.columns
    import marketsim.market.tables

    homes = {each.__name__: each for each in (marketsim.chain.columns, marketsim.market.tables)}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in homes:
            for each in node.names:
                kind = getattr(homes[node.module], each.name)
                if isinstance(kind, Schema):
                    found[each.asname or each.name] = kind
    return found


def accesses(file: Path) -> Iterator[tuple[str, bool]]:
    """Each access by the number of a column, and whether a row is given with it: none where a slice of rows is meant."""
    schemas = schemas_of(TREES[file])
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.Subscript):
            index = node.slice
            parts = index.elts if isinstance(index, ast.Tuple) else [index]
            last = parts[-1]
            if isinstance(last, ast.Attribute) and isinstance(last.value, ast.Name) and last.value.id in schemas:
                if len(parts) == 1 or not isinstance(parts[0], ast.Slice):
                    yield ast.unparse(node), len(parts) > 1


ROOMS = [file for file in FILES if file.parts[len(PACKAGE.parts)] in {"chain", "market"}] + [PACKAGE / "simulation" / "messages.py"]


@pytest.mark.parametrize("file", ROOMS, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_rows_are_read_by_name(file: Path) -> None:
    name = file.relative_to(PACKAGE).as_posix()
    lists = LISTS.get(name, set())
    found = {text for text, with_row in accesses(file) if with_row or text.partition("[")[0] not in lists}
    assert found == set(BY_NUMBER.get(name, {}))


def test_an_access_by_number_is_seen() -> None:
    file = PACKAGE / "chain" / "edge.py"
    source = (
        "from marketsim.chain.columns import Bid\nb[Bid.price]; s.bids[3, Bid.price]; s.bids[:, Bid.price]; s.bids[Bid]; s.bids[3].price\n"
    )
    kept, TREES[file] = TREES[file], ast.parse(source)
    try:
        assert list(accesses(file)) == [("b[Bid.price]", False), ("s.bids[3, Bid.price]", True)]
    finally:
        TREES[file] = kept


def test_no_class_name_stands_twice() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
    assert len(places) > 300
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def imports_of(file: Path) -> set[Path]:
    """The files of the package that a file imports, inside functions too, but for what only type checkers read."""
    found = set()
    for node in walk_run(TREES[file]):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        for name in names:
            if name.partition(".")[0] == "marketsim":
                place = PACKAGE.joinpath(*name.split(".")[1:])
                found |= {each for each in (place.with_suffix(".py"), place / "__init__.py") if each in TREES}
    return found - {file}


def walk_run(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from walk_run(child)


def circle_of(imports: dict[Path, set[Path]]) -> list[str]:
    """The files of one circle in the order of their imports, none where there is no circle."""
    done: set[Path] = set()

    def follow(file: Path, way: list[Path]) -> list[str]:
        if file in way:
            return [str(each) for each in way[way.index(file) :]]
        if file in done:
            return []
        for other in sorted(imports[file]):
            if circle := follow(other, [*way, file]):
                return circle
        done.add(file)
        return []

    return next((circle for file in imports if (circle := follow(file, []))), [])


def test_no_files_import_each_other_in_a_circle() -> None:
    imports = {file.relative_to(PACKAGE): {other.relative_to(PACKAGE) for other in imports_of(file)} for file in FILES}
    assert sum(map(len, imports.values())) > 700
    assert circle_of(imports) == []


def test_a_circle_is_found() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")
    assert circle_of({a: {b}, b: {c}, c: {b}}) == ["b", "c"]
    assert circle_of({a: {b, c}, b: {c}, c: set()}) == []


def unnamed_numbers(tree: ast.Module) -> Iterator[str]:
    """Numbers above 9 inside functions, but for bits of a shift, powers, and the base of our own numbers."""
    named: set[int] = set()

    def allow(node: ast.AST) -> None:
        named.update(id(each) for each in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.LShift, ast.RShift, ast.Pow)):
            allow(node.right)
            if isinstance(node.op, ast.Pow):
                allow(node.left)
        elif isinstance(node, (ast.Module, ast.ClassDef)):
            for each in node.body:
                if isinstance(each, (ast.Assign, ast.AnnAssign)):
                    allow(each)
            for word in node.keywords if isinstance(node, ast.ClassDef) else ():
                allow(word)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and id(node) not in named:
            if abs(node.value) > 9 and node.value != 10:
                yield f"{node.lineno}: {node.value}"


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if file.parts[len(PACKAGE.parts)] in {"market", "simulation"}],
    ids=lambda file: str(file.relative_to(PACKAGE)),
)
def test_numbers_have_names(file: Path) -> None:
    assert list(unnamed_numbers(TREES[file])) == []


def test_a_number_without_a_name_is_seen() -> None:
    source = "A = 77\nclass B(Row, width=12):\n    c: int = 44\n    def d(self, e=14_400):\n        return e << 32 | 80 * 10**18 + 10\n"
    assert sorted(unnamed_numbers(ast.parse(source))) == ["4: 14400", "5: 80"]
