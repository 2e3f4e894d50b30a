"""Settlement by hand: what two leases owe, pay and leave, in the arithmetic of the training document's rules with drawn figures.

A lease owes its price for every block (exact, 18 decimals). What was settled is paid to the provider in whole uve, the fraction waits
in the payment; the network takes its share, in whole uve, of all that was paid so far. When a lease ends, whole uve go back to the
tenant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any, Final

from marketsim.exercises.dice import Dice
from marketsim.exercises.exact_figures import DIGITS, figure_of, right_figures, shown_figure
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told
from marketsim.exercises.plain_yaml import read_mapping, yaml_text

FILE: Final = "settlement.yaml"
LEASES: Final = ("first", "second")
MOST: Final = dict.fromkeys(LEASES, 50.0)
_KEYS: Final = (
    "price",
    "accrued_then",
    "paid_then",
    "take_then",
    "net_then",
    "waiting_then",
    "accrued_at_end",
    "paid_at_end",
    "take_at_end",
    "net_at_end",
    "refund",
)


@dataclass(frozen=True)
class LeaseToSettle:
    """The figures of one lease; amounts in uve, prices by unit and block."""

    millicores: int
    memory_mb: int
    storage_mb: int
    cpu_price: Decimal
    memory_price: Decimal
    storage_price: Decimal
    margin_percent: Decimal
    take_percent: Decimal
    deposit: int
    made_at: int
    """Height from which it owes."""
    settled_at: int
    ended_at: int


@dataclass(frozen=True)
class SettlementInstance:
    """Two leases."""

    leases: tuple[LeaseToSettle, ...]


class SettlementExercise:
    """Settlement by hand."""

    name = "settlement"
    title = "Settlement by hand"
    version = 1
    minutes = 30
    needs = ""
    files = (FILE,)
    most = MOST
    chance = Chance(0.2, 1.0, "the figures of somebody else's leases, on the instances of 50 learners")
    hints = (
        "The price is the provider's bid: CPU, memory and storage times their prices, times one plus the margin. Round nothing.",
        "A lease owes its price for every block since it was made: price × (height − height at which it was made).",
        "What is paid is the accrued amount cut to whole uve; the fraction is kept for the next settlement, so cut the sum, not each part.",
        "The take is its share of everything paid so far, cut to whole uve; the provider's net is paid less take.",
        "At the end the tenant gets back deposit less accrued, cut to whole uve.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> SettlementInstance:
        """Draw two leases; in practice the first is priced as the training document's example."""
        found = [self._lease(dice) for _ in LEASES]
        if practice:
            figures = LeaseToSettle(
                1000,
                2048,
                10240,
                Decimal("0.000001"),
                Decimal("0.0000001"),
                Decimal("0.00000001"),
                Decimal(10),
                Decimal(2),
                500,
                20,
                80_020,
                100_020,
            )
            found[0] = figures
        return SettlementInstance(tuple(found))

    def _lease(self, dice: Dice) -> LeaseToSettle:
        made = dice.whole(100, 9_000)
        settled = made + dice.whole(20_011, 60_003)
        ended = settled + dice.whole(10_007, 40_009)
        lease = LeaseToSettle(
            millicores=250 * dice.whole(2, 16),
            memory_mb=512 * dice.whole(2, 16),
            storage_mb=1024 * dice.whole(5, 40),
            cpu_price=dice.decimal("1.01", "4.99", "0.01") / 10**5,
            memory_price=dice.decimal("1.01", "4.99", "0.01") / 10**6,
            storage_price=dice.decimal("1.01", "4.99", "0.01") / 10**7,
            margin_percent=dice.decimal("5.5", "24.5", "0.5"),
            take_percent=dice.decimal("1.5", "4.5", "0.5"),
            deposit=0,
            made_at=made,
            settled_at=settled,
            ended_at=ended,
        )
        due = lease_figures(lease)["accrued_at_end"]
        return LeaseToSettle(**{**vars(lease), "deposit": int(due) + dice.whole(20, 300)})

    def draw(self, dice: Dice, *, practice: bool) -> SettlementInstance:
        """Draw the figures."""
        return self.drawn(dice, practice=practice)

    def told(self, instance: SettlementInstance) -> Told:
        """The figures of the leases, and a file to fill in."""
        task = {name: dict(vars(lease)) for name, lease in zip(LEASES, instance.leases, strict=True)}
        readme = f"""
`task.yaml` has the figures of two leases: what they lease, the provider's prices by unit and block, its margin, the network's take,
the deposit, and the heights at which each was made, settled once, and ended. Under the training document's rules a lease owes its price
for every block. Fill in `submit/{FILE}` by hand or with a pocket calculator:

- `price`: the lease's price, uve a block;
- `accrued_then`, `paid_then`, `take_then`, `net_then`: what it owes at `settled_at`, what was moved out of escrow for it, what of that
  the network took, and what the provider got; `waiting_then`: the fraction that waits in the payment;
- the same at `ended_at`, summed from the beginning (`…_at_end`);
- `refund`: what the tenant gets back at the end.

All in uve and exact: write every decimal. What is paid, taken and refunded is whole uve; fractions of payments are carried on, and cut
amounts are cut down. Each of the {2 * len(_KEYS)} figures counts alike.
"""
        begun = {name: dict.fromkeys(_KEYS, "") for name in LEASES}
        return Told(task, readme, {}, {FILE: yaml_text(begun)})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """The first figure that is missing or no number, or cannot have the unit that it should."""
        name = f"submit/{FILE}"
        content = read_mapping(submission[FILE], name)
        for lease in LEASES:
            part = content.get(lease)
            if not isinstance(part, Mapping):
                return f"{name}: {lease}: is missing, expected the figures of that lease"
            for key in _KEYS:
                if (value := figure_of(part.get(key, ""))) is None:
                    return f"{name}: {lease}.{key}: is missing or no number, expected uve such as 12.5"
                if key.startswith(("paid", "take", "net", "refund")) and value != int(value):
                    return f"{name}: {lease}.{key}: only whole uve are paid, taken and refunded"
                if value < 0:
                    return f"{name}: {lease}.{key}: is below zero"
            if (price := figure_of(part["price"])) is not None and price >= 1:
                return f"{name}: {lease}.price: {price} uve a block? look at the unit: uve for one block"
        return None

    def judge(self, instance: SettlementInstance, submission: Submission) -> Mapping[str, Judged]:
        """Compare every figure exactly."""
        content = read_mapping(submission[FILE], FILE)
        judged = {}
        for name, lease in zip(LEASES, instance.leases, strict=True):
            mine = content.get(name)
            right = right_figures(lease_figures(lease), mine if isinstance(mine, Mapping) else {})
            judged[name] = Judged(len(right) / len(_KEYS), f"{len(right)} of {len(_KEYS)} figures are exact")
        return judged

    def answers(self, instance: SettlementInstance) -> Sequence[str]:
        """The figures with decimals."""
        shown = [shown_figure(value) for lease in instance.leases for value in lease_figures(lease).values()]
        return [text for text in shown if len(text) > 5]

    def oracle(self, instance: SettlementInstance) -> Submission:
        """All figures."""
        return _file([lease_figures(lease) for lease in instance.leases])

    def guess(self, instance: SettlementInstance, dice: Dice) -> Submission:
        """The figures of somebody else's leases."""
        return self.oracle(self.drawn(dice, practice=False))

    def near_misses(self, instance: SettlementInstance) -> Sequence[NearMiss]:
        """One rule forgotten."""

        def miss(name: str, least: float, most: float, **changes: Any) -> NearMiss:
            return NearMiss(name, _file([lease_figures(lease, **changes) for lease in instance.leases]), least, most)

        return [
            miss("rounded up and down", 20, 95, rounded=True),
            miss("take cut at each pay-out", 50, 100, take_each=True),
            miss("the block it was made in counts too", 20, 90, extra_block=1),
            miss("margin forgotten", 0, 30, margin=False),
            miss("price rounded to six decimals", 30, 90, price_decimals=6),
        ]


def lease_figures(
    lease: LeaseToSettle,
    *,
    rounded: bool = False,
    take_each: bool = False,
    extra_block: int = 0,
    margin: bool = True,
    price_decimals: int | None = None,
) -> dict[str, Decimal]:
    """Return the figures of a lease by key; the keywords are mistakes."""
    with localcontext() as context:
        context.prec = DIGITS
        base = lease.millicores * lease.cpu_price + lease.memory_mb * lease.memory_price + lease.storage_mb * lease.storage_price
        price = base * (1 + (lease.margin_percent / 100 if margin else 0))
        if price_decimals is not None:
            price = round(price, price_decimals)

        def whole(amount: Decimal) -> Decimal:
            return round(amount, 0) if rounded else amount.to_integral_value(ROUND_FLOOR)

        def owed(height: int) -> Decimal:
            return price * (height - lease.made_at + extra_block)

        then, end = owed(lease.settled_at), owed(lease.ended_at)
        share = lease.take_percent / 100
        take_then, take_end = whole(whole(then) * share), whole(whole(end) * share)
        if take_each:
            take_end = take_then + whole((whole(end) - whole(then)) * share)
        values = (
            price,
            then,
            whole(then),
            take_then,
            whole(then) - take_then,
            then - whole(then),
            end,
            whole(end),
            take_end,
            whole(end) - take_end,
            whole(lease.deposit - end),
        )
        return dict(zip(_KEYS, values, strict=True))


def _file(figures: Sequence[Mapping[str, Decimal]]) -> Submission:
    rows = {name: {key: shown_figure(value) for key, value in part.items()} for name, part in zip(LEASES, figures, strict=True)}
    return {FILE: yaml_text(rows).replace("'", "")}


EXERCISE: Final = SettlementExercise()
