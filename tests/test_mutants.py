"""The list of equivalent mutants speaks of lines that are there, and the page shows the list."""

from __future__ import annotations

import ast
from pathlib import Path

import mutants
import pytest

ROOT = Path(__file__).resolve().parent.parent


def lines_of(function: str) -> list[str]:
    """The lines of a function `module.name` of money or the chain, without indentation."""
    module, *names = function.split(".")
    text = (ROOT / mutants.MODULES[module]).read_text("utf-8")
    node: ast.AST = ast.parse(text)
    for name in names:
        node = next(n for n in ast.iter_child_nodes(node) if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name)
    source = ast.get_source_segment(text, node)
    assert source is not None
    return [line.strip() for line in source.splitlines()]


@pytest.mark.parametrize("change", mutants.listed(), ids=lambda change: f"{change[0]}: {change[2]}")
def test_a_listed_mutant_changes_a_line_that_is_there(change: mutants.Change) -> None:
    function, before, after = change
    assert before != after
    assert before in lines_of(function)
    assert len(mutants.listed()[change]) > 10


def test_the_page_shows_the_list() -> None:
    page = (ROOT / "docs" / "mutation.md").read_text("utf-8").splitlines()
    rows = [line for line in page if line.startswith("| `")]
    assert rows == mutants.rows()


def test_every_tested_module_is_named_once_in_the_configuration() -> None:
    assert set(mutants.MODULES) >= {"pairs", "text", "wide", "ledger", "accounts", "messages", "exact", "sequential", "proportional"}
    assert {function.partition(".")[0] for function, _, _ in mutants.listed()} <= set(mutants.MODULES)


def test_a_name_of_mutmut_is_spoken_as_the_function() -> None:
    assert mutants.spoken("marketsim.money.pairs.x_add__mutmut_3") == "add"
    assert mutants.spoken("marketsim.chain.escrow.exact.x__use__mutmut_12") == "_use"
    assert mutants.spoken("marketsim.chain.escrow.usage_settlement.xǁChainǁ_pay__mutmut_1") == "Chain._pay"
