"""How long funds last: an account that owes nothing answers at once, compiled and not.

Funds of 0 with rates of 0 once went round for ever, so the question is put in a process of its own with a time limit.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

QUESTION = """
from marketsim.chain.columns import Account
from marketsim.chain.state import make_state
from marketsim.market.tenants import FOREVER, covered

state = make_state(8)
account = state.accounts[0]

def blocks(funds, funds_atto, rates, rates_atto):
    account[[Account.funds, Account.funds_atto, Account.rates, Account.rates_atto]] = funds, funds_atto, rates, rates_atto
    return int(covered(state, 0))

half = 5 * 10**17
print([
    blocks(0, 0, 0, 0) == FOREVER, blocks(7, 0, 0, 0) == FOREVER, blocks(0, 1, 0, 0) == FOREVER,
    blocks(0, 0, 1, 0), blocks(0, 0, 0, 1), blocks(-3, 0, 0, 0), blocks(-3, 0, 1, 0),
    blocks(10, 0, 2, half), blocks(9, 10**18 - 1, 2, half), blocks(1, 0, 0, half),
])
"""


@pytest.mark.parametrize("compiling", ["0", "1"])
def test_an_account_that_owes_nothing_is_covered_for_ever(compiling: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUESTION],
        env=os.environ | {"MARKETSIM_COMPILE": compiling},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,  # the compiler's time
    )
    assert done.stderr == ""
    assert done.stdout == "[True, True, True, 0, 0, 0, 0, 4, 3, 2]\n"
