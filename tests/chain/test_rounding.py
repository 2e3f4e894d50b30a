"""What truncation makes of the training document's example rate, and the page that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketsim.chain.columns import G, Lease
from marketsim.chain.edge import Chain

PAGE = Path(__file__).parents[2] / "docs" / "rounding.md"
RATE = "0.00143792"
BLOCKS = 100_000
LEASE = "ada/1/1/1/north"


def earned(rules: str, every: int) -> tuple[int, int]:
    """Return gross and net pay of 100,000 blocks at the example rate, settled every `every` blocks."""
    start = {
        "params": {"deployment_min_deposit": 1000, "bid_min_deposit": 0, "take_percent": 0 if rules == "akash" else 2},
        "wallets": {"ada": 1000, "north": 0},
        "providers": {"north": {}},
    }
    params = {G.settle_every: every, G.order_timeout: 0} if rules == "seed" else {}
    chain = Chain(rules, start=start, charging="rate", params=params, events=False)
    unit = {"price": "1", "count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}
    deploy = {
        "op": "create_deployment", "id": "ada/1", "deposit": "1000", "sources": ["balance"], "hash": "a",
        "groups": [{"name": "g", "resources": [unit]}],
    }  # fmt: skip
    bid = {"op": "create_bid", "id": LEASE, "price": RATE, "deposit": "0", "sources": ["balance"]}
    receipts, _ = chain.execute_block(1, [deploy, bid, {"op": "create_lease", "id": LEASE}])
    assert [receipt.result for receipt in receipts] == ["ok"] * 3
    if rules != "seed":
        for height in range(1 + every, 1 + BLOCKS, every):
            assert chain.execute({"op": "withdraw", "id": LEASE}, height).name == "Ok"
    chain.execute_block(1 + BLOCKS, [{"op": "close_deployment", "id": "ada/1"}])
    row = chain.state.leases[0]
    assert chain.state.wallets[chain.wallet("north"), 0] == row[Lease.withdrawn] - row[Lease.fees]
    return int(row[Lease.withdrawn]), int(row[Lease.withdrawn] - row[Lease.fees])


@pytest.mark.parametrize("rules", ["virtengine", "akash"])
@pytest.mark.parametrize(
    ("every", "gross"),
    [(100, 0), (600, 0), (694, 0), (695, 0), (696, 143), (1_000, 100), (10_000, 140), (100_000, 143)],
)
def test_truncation_at_each_settlement(rules: str, every: int, gross: int) -> None:
    assert earned(rules, every)[0] == gross


@pytest.mark.parametrize("every", [1, 7, 600, 695, 696, 1_000, 10_000, 100_000])
def test_under_seed_the_cadence_moves_no_money(every: int) -> None:
    assert earned("seed", every) == (143, 141)


def test_the_page_says_what_the_chain_pays() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text("utf-8").splitlines()
        if line.startswith("| every ") or line.startswith("| once ")
    ]
    assert len(rows) == 6
    for cadence, *cells in rows:
        every = BLOCKS if cadence.startswith("once") else int(cadence.split()[1].replace(",", ""))
        found = [str(figure) for rules in ("virtengine", "akash", "seed") for figure in earned(rules, every)]
        assert cells == found, cadence
