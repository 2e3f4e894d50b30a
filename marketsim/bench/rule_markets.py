"""Small markets in which every single lease has to obey the rules to the block and to the coin, and how many do not.

Figures of this module have no variance: each counts the leases, orders or settlements of a run that break an
identity, and theory says 0. A rule that is off by one block or one coin for one lease in a thousand is found, where
a mean over random lives hides it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.bench.theory_markets import (
    GRACE,
    WINDOW,
    Planted,
    TheoryMarket,
    cohort_of,
    constant,
    exponential,
    market_of,
    provider_of,
)
from marketsim.chain.columns import EventKind
from marketsim.market.tables import Ended
from marketsim.recording.record import Record

Ints = npt.NDArray[np.int64]
ATTO = 10**18
RATE, TAKE_PERCENT, CADENCE, LONG_GRACE, ROOMS = 7, 2, 10, 6, 8
FOREVER = 10_000_000
CEILING = 10
TOP_UP_BLOCKS, TOP_UPS, RESCUE_DELAY, LOOK_AHEAD = 150, 2, 3, 40
TOUCH_EVERY, TOUCH_RATE = 17, 13
GROUP_PRICES = (7, 3, 11)


def books(planted: Planted) -> dict[str, Any]:
    """Rule set seed: a cohort whose funds end each lease, one that pays to the end, and a provider with eight rooms."""
    poor = cohort_of(planted, "poor", 0.012, constant(FOREVER))
    poor["deposit"] = {"uniform": ["700uve", "7000uve"]}
    rich = cohort_of(planted, "rich", 0.012, exponential(400 * planted.duration))
    rich["terminate_after"] = exponential(900 * planted.duration)
    market = market_of(
        blocks=30_000,
        cohorts=[poor, rich],
        providers=[provider_of(planted, "p", cpu=ROOMS * 1000, price=RATE / 1000)],
        take=TAKE_PERCENT / 100,
    )
    return {**market, "settle_every": f"{CADENCE} blocks", "grace": f"{LONG_GRACE} blocks", "record": "everything"}


def books_figures(record: Record) -> dict[str, float]:
    """Leases off the rules on windows, lives, payments, take and shortfall; blocks off the rule on capacity."""
    leases, orders = record.leases, record.orders
    life, closed = leases["closed_at"] - leases["created_at"], leases["closed_at"] >= 0
    poor = _cohort(record) == 0
    funds = _deposited(record)[orders["account"][leases["order"]]]
    dry = closed & poor & (leases["ended"] == Ended.INSUFFICIENT_FUNDS)
    paid, owed = leases["withdrawn"], RATE * life
    missing = leases["shortfall_whole"] - (RATE * (funds // RATE + 1) - funds)
    return {
        "window": _broken(leases["created_at"] - orders["created_at"][leases["order"]] - WINDOW),
        "funded_life": _broken((life - funds // RATE - 1 - LONG_GRACE)[dry]),
        "funds_paid": _broken((paid - funds)[dry]),
        "forgiven": _broken((missing + leases["shortfall_atto"])[dry]),
        "life_paid": _broken((paid - owed)[closed & ~poor]),
        "take": _broken((leases["fees"] - paid * TAKE_PERCENT // 100)[closed]),
        "rooms": _rooms_broken(record),
    }


def _rooms_broken(record: Record) -> float:
    """Blocks in which another number of orders found room than there was.

    An order asks for room in the block after it was made, when the leases that end in that block have left.
    """
    leases, orders = record.leases, record.orders
    begins = orders["created_at"] + 1
    last = record.blocks - WINDOW
    leased = orders["lease"] >= 0
    ends = np.where(leases["closed_at"] < 0, FOREVER, leases["closed_at"])
    broken, asked = 0, np.unique(begins[begins <= last])
    held_from, held_until = begins[leases["order"]], ends
    for block in asked.tolist():
        held = int(((held_from < block) & (held_until > block)).sum())
        now = begins == block
        broken += int(leased[now].sum()) != min(int(now.sum()), ROOMS - held)
    return float(broken) if asked.size else float("nan")


def ties(by_index: bool) -> Callable[[Planted], dict[str, Any]]:
    """Three providers that ask the same, exactly the ceiling; ties go to the lowest row or to the lowest hash."""

    def scenario(planted: Planted) -> dict[str, Any]:
        cohort = cohort_of(planted, "web", 0.02, constant(50 * planted.duration))
        cohort["ceiling"] = f"{CEILING}uve"
        provider = provider_of(planted, "p", price=CEILING / 1000)
        provider["count"] = 3
        market = market_of(blocks=15_000, cohorts=[cohort], providers=[provider])
        return {**market, "tie": "provider_index" if by_index else "hash", "record": "everything"}

    return scenario


def ties_by_index_figures(record: Record) -> dict[str, float]:
    """Orders at their ceiling without a lease, and leases that another than the first provider won."""
    decided = record.orders["created_at"] <= record.blocks - 10
    return {
        "at_ceiling": _broken((record.orders["lease"] < 0)[decided]),
        "first_row": _broken(record.leases["provider"]),
    }


def ties_by_hash_figures(record: Record) -> dict[str, float]:
    """Share of leases that the first of three equal providers won: the hash favours nobody."""
    return {"first_of_three": float((record.leases["provider"] == 0).mean())}


def quotes(planted: Planted) -> dict[str, Any]:
    """Five providers whose quotes are random and whose latencies differ."""
    cohort = cohort_of(planted, "web", 0.02, constant(50 * planted.duration), memory="8Gi")
    cohort["ceiling"] = "10000uve"
    provider = provider_of(planted, "p")
    provider.update(count=5, strategy="random_range")
    return {**market_of(blocks=15_000, cohorts=[cohort], providers=[provider]), "record": "everything"}


def quotes_figures(record: Record) -> dict[str, float]:
    """Leases at another price than the lowest bid on their order."""
    assert record.bids is not None
    bids = record.bids
    lowest: dict[int, tuple[int, int]] = {}
    for order, whole, atto in zip(bids["order"].tolist(), bids["price_whole"].tolist(), bids["price_atto"].tolist(), strict=True):
        lowest[order] = min(lowest.get(order, (1 << 62, 0)), (whole, atto))
    leases = record.leases
    rows = zip(leases["order"].tolist(), leases["price_whole"].tolist(), leases["price_atto"].tolist(), strict=True)
    return {"lowest_bid": _broken(np.array([lowest.get(order) != (whole, atto) for order, whole, atto in rows]))}


def rescues(planted: Planted) -> dict[str, Any]:
    """Rule set seed: tenants that add funds after depletion, and tenants that add them before, twice each."""
    after = cohort_of(planted, "after", 0.01, constant(FOREVER))
    after["deposit"] = {"uniform": ["700uve", "3500uve"]}
    after["ceiling"] = f"{CEILING}uve"
    before = {**after, "name": "before"}
    add = {"blocks": TOP_UP_BLOCKS, "times": TOP_UPS, "probability": 1.0}
    after["top_up"] = {**add, "after_depletion": {"delay": f"{RESCUE_DELAY} blocks"}}
    before["top_up"] = {**add, "when_blocks_left": LOOK_AHEAD}
    market = market_of(blocks=20_000, cohorts=[after, before], providers=[provider_of(planted, "p", price=RATE / 1000)])
    return {**market, "grace": f"{LONG_GRACE} blocks", "record": "everything"}


def rescues_figures(record: Record) -> dict[str, float]:
    """Leases off the rules on what was added, what was paid of it, and how long it lasted."""
    leases = record.leases
    account = record.orders["account"][leases["order"]]
    first, whole = _first_deposit(record)[account], _deposited(record)[account]
    late = _cohort(record) == 0
    dry = (leases["closed_at"] >= 0) & (leases["ended"] == Ended.INSUFFICIENT_FUNDS)
    added = TOP_UP_BLOCKS * CEILING
    life = leases["closed_at"] - leases["created_at"]
    rescued = first // RATE + 1 + TOP_UPS * (RESCUE_DELAY + added // RATE + 1) + LONG_GRACE
    return {
        "added": _broken((whole - first - TOP_UPS * added)[dry]),
        "added_paid": _broken((leases["withdrawn"] - first - TOP_UPS * added)[dry]),
        "rescued_life": _broken((life - rescued)[dry & late]),
        "prolonged_life": _broken((life - (first + TOP_UPS * added) // RATE - 1 - LONG_GRACE)[dry & ~late]),
    }


def shared(planted: Planted) -> dict[str, Any]:
    """Rule set seed, messages by hand: twelve deployments of three groups whose leases share one account that runs dry."""
    messages: list[dict[str, Any]] = []
    wallets = {"prov": 10_000_000}
    for number in range(12):
        owner = f"owner{number:02d}"
        wallets[owner] = 10_000_000
        groups = [
            {"name": f"g{k}", "resources": [{"price": "50", "count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}]}
            for k in range(len(GROUP_PRICES))
        ]
        deposit = str(1_000 + 137 * number)
        messages.append(
            {"height": 2, "op": "create_deployment", "id": f"{owner}/1", "deposit": deposit, "sources": ["balance"], "groups": groups}
        )
        for k, price in enumerate(GROUP_PRICES, 1):
            bid = f"{owner}/1/{k}/1/prov"
            asked = f"{price * planted.price:.9f}"
            messages.append({"height": 3, "op": "create_bid", "id": bid, "price": asked, "deposit": "1", "sources": ["balance"]})
            messages.append({"height": 4, "op": "create_lease", "id": bid})
    messages.sort(key=lambda message: int(message["height"]))
    return {
        "name": "theory",
        "rules": "seed",
        "charging": "rate",
        "take": 0.0,
        "settle_every": "100000000 blocks",
        "grace": f"{GRACE} blocks",
        "horizon": "400 blocks",
        "record": "everything",
        "start": {"params": {"bid_min_deposit": 1, "deployment_min_deposit": 1}, "wallets": wallets, "providers": {"prov": {}}},
        "messages": messages,
    }


def shared_figures(record: Record) -> dict[str, float]:
    """Leases whose part of their account's shortfall is not that of their price, and accounts that lived too long or short."""
    leases = record.leases
    account = record.orders["account"][leases["order"]]
    funds = _deposited(record)
    rates = sum(GROUP_PRICES)
    unfair, off = [], []
    for one in np.unique(account).tolist():
        rows = np.flatnonzero(account == one)
        missing = [int(leases["shortfall_whole"][row]) * ATTO + int(leases["shortfall_atto"][row]) for row in rows]
        for row, part in zip(rows.tolist(), missing, strict=True):
            # Shares are cut at the 18th decimal and the last key takes what is left.
            unfair.append(abs(part * rates - sum(missing) * int(leases["price_whole"][row])) > 3 * rates or sum(missing) == 0)
        lives = leases["closed_at"][rows] - leases["created_at"][rows]
        off.append(bool((lives != funds[one] // rates + 1 + GRACE).any()))
    return {"shared_shortfall": _broken(np.array(unfair)), "shared_life": _broken(np.array(off))}


def touches(planted: Planted) -> dict[str, Any]:
    """Rule set virtengine: a provider that withdraws every 17 blocks, with a take on each pay-out."""
    poor = cohort_of(planted, "poor", 0.01, constant(FOREVER))
    poor["deposit"] = {"uniform": ["700uve", "7000uve"]}
    rich = cohort_of(planted, "rich", 0.01, exponential(300 * planted.duration))
    market = market_of(
        blocks=8_000,
        cohorts=[poor, rich],
        providers=[provider_of(planted, "p", price=TOUCH_RATE / 1000)],
        rules="virtengine",
        take=TAKE_PERCENT / 100,
    )
    return {**market, "withdraw_every": f"{TOUCH_EVERY} blocks", "record": "everything"}


def touches_figures(record: Record) -> dict[str, float]:
    """Settlements off the rhythm, and leases off the rules on payments, take and the blocks served unpaid."""
    leases = record.leases
    assert record.settlements is not None
    rows, heights = record.settlements["lease"], record.settlements["height"]
    created, closed = leases["created_at"], leases["closed_at"]
    rich = _cohort(record) == 1
    life = closed - created
    funds = _deposited(record)[record.orders["account"][leases["order"]]]
    between = rich[rows] & ((closed[rows] < 0) | (heights < closed[rows]))
    ended = rich & (closed >= 0)
    whole, rest = np.divmod(life, TOUCH_EVERY)
    take = whole * (TOUCH_RATE * TOUCH_EVERY * TAKE_PERCENT // 100) + TOUCH_RATE * rest * TAKE_PERCENT // 100
    # The last touch that funds cover; the one after finds the debt and ends the lease.
    dry = ~rich & (closed >= 0)
    overdrawn = TOUCH_EVERY * (funds // (TOUCH_RATE * TOUCH_EVERY) + 1)
    return {
        "rhythm": _broken(((heights - created[rows]) % TOUCH_EVERY)[between]),
        "touched_paid": _broken((leases["withdrawn"] - TOUCH_RATE * life)[ended]),
        "touched_take": _broken((leases["fees"] - take)[ended]),
        "touched_life": _broken((life - overdrawn)[dry]),
        "touched_funds": _broken((leases["withdrawn"] - funds)[dry]),
    }


RULE_MARKETS: tuple[TheoryMarket, ...] = (
    TheoryMarket("rules: books", books, books_figures),
    TheoryMarket("rules: ties by row", ties(True), ties_by_index_figures),
    TheoryMarket("rules: ties by hash", ties(False), ties_by_hash_figures),
    TheoryMarket("rules: quotes", quotes, quotes_figures),
    TheoryMarket("rules: rescues", rescues, rescues_figures),
    TheoryMarket("rules: shared accounts", shared, shared_figures),
    TheoryMarket("rules: touches", touches, touches_figures),
)

RULE_CHECKS: tuple[tuple[str, str, str], ...] = (
    ("leases not made when the bid window ends", "rules: books", "window"),
    ("lives other than ⌊deposit ÷ price⌋ + 1 + grace", "rules: books", "funded_life"),
    ("leases out of funds that did not pay all of them", "rules: books", "funds_paid"),
    ("shortfalls other than the block that funds lacked", "rules: books", "forgiven"),
    ("leases that paid other than price × blocks", "rules: books", "life_paid"),
    ("takes other than ⌊take × all pay-outs⌋", "rules: books", "take"),
    ("blocks with room left unused or used twice", "rules: books", "rooms"),
    ("orders at their ceiling left without a lease", "rules: ties by row", "at_ceiling"),
    ("ties that did not go to the lowest row", "rules: ties by row", "first_row"),
    ("leases at a price above the lowest bid", "rules: quotes", "lowest_bid"),
    ("top-ups other than blocks × ceiling", "rules: rescues", "added"),
    ("leases that did not pay what was added", "rules: rescues", "added_paid"),
    ("lives other than funds allow, added after depletion", "rules: rescues", "rescued_life"),
    ("lives other than funds allow, added before", "rules: rescues", "prolonged_life"),
    ("shortfalls not shared in proportion to prices", "rules: shared accounts", "shared_shortfall"),
    ("accounts of three leases that ended too early or late", "rules: shared accounts", "shared_life"),
    ("withdrawals off their rhythm", "rules: touches", "rhythm"),
    ("leases that paid other than price × blocks, touched", "rules: touches", "touched_paid"),
    ("takes other than the sum of ⌊take × pay-out⌋", "rules: touches", "touched_take"),
    ("lives other than to the first touch beyond the funds", "rules: touches", "touched_life"),
    ("overdrawn leases that did not pay all funds", "rules: touches", "touched_funds"),
)
"""Title, market and figure of every identity; theory says 0 for all of them."""


def _broken(off: Any) -> float:
    """How many entries are not 0 (or not False); NaN, which agrees with nothing, when there is none to look at."""
    return float(np.count_nonzero(off)) if np.size(off) else float("nan")


def _cohort(record: Record) -> Ints:
    """The tenant cohort of each lease."""
    cohorts: Ints = np.asarray(record.tenants["cohort"])[record.orders["tenant"][record.leases["order"]]]
    return cohorts


def _deposits(record: Record) -> tuple[Ints, Ints]:
    """Account and amount of every deposit, in order of time."""
    assert record.events is not None
    events = record.events
    made = events["kind"] == EventKind.DEPOSITED
    return events["subject"][made], events["whole"][made]


def _deposited(record: Record) -> Ints:
    """Whole uve ever deposited into each account, by its row."""
    accounts, amounts = _deposits(record)
    total = np.zeros(_accounts(record), dtype=np.int64)
    np.add.at(total, accounts, amounts)
    return total


def _first_deposit(record: Record) -> Ints:
    """The first deposit into each account, by its row."""
    accounts, amounts = _deposits(record)
    first = np.zeros(_accounts(record), dtype=np.int64)
    first[accounts[::-1]] = amounts[::-1]
    return first


def _accounts(record: Record) -> int:
    accounts, _ = _deposits(record)
    return int(max(accounts.max(initial=-1), record.orders["account"].max(initial=-1))) + 1
