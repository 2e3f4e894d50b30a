"""Escrow monitoring: how many hours the funds of twenty accounts last, exact."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketsim.errors import InputError
from marketsim.exercises.dice import Dice
from marketsim.exercises.exact_figures import figure_of, right_figures, shown_figure
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told

FILE: Final = "hours.csv"
ACCOUNTS: Final = 20
MOST: Final = {"hours": 100.0}
_HEAD: Final = ["account", "hours"]


@dataclass(frozen=True)
class MonitoredAccount:
    """An account as it was last settled: what it held then, and its leases' prices, uve a block."""

    name: str
    settled_at: int
    funds: Decimal
    prices: tuple[Decimal, ...]


@dataclass(frozen=True)
class EscrowInstance:
    """Twenty accounts, the height of now, and the time between blocks."""

    height: int
    block_seconds: int
    accounts: tuple[MonitoredAccount, ...]


class EscrowExercise:
    """Escrow monitoring."""

    name = "escrow"
    title = "Escrow monitoring: how long funds last"
    version = 1
    minutes = 20
    needs = ""
    files = (FILE,)
    most = MOST
    chance = Chance(0.02, 0.3, "one of 6,001 hours for each of 20 accounts")
    hints = (
        "An account pays all of its leases: what it owes a block is the sum of their prices.",
        "`funds` is what it held at `settled_at`. Since then it owes the sum of the prices for every block up to `height`.",
        "What is left, divided by what it owes a block, is blocks; an hour has 3600 ÷ `block_seconds` of them.",
        "Cut down to hundredths of an hour, do not round; funds that are used up last 0 hours.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> EscrowInstance:
        """Draw twenty accounts; some owe nearly all that they hold, one more than that."""
        height, block = dice.whole(200_000, 900_000), 6 if practice else dice.pick((4, 5, 6, 7, 8))
        accounts = []
        for number, name in enumerate(dice.sample(range(100, 1000), ACCOUNTS)):
            prices = tuple(dice.decimal("0.1", "9.9", "0.0001") for _ in range(1 + number % 3))
            since = dice.whole(1, 900)
            hours = dice.share() * 60 if number else -0.1
            left = sum(prices, Decimal()) * (since + int(hours * 3600 / block))
            accounts.append(MonitoredAccount(f"tenant-{name}/{dice.whole(1000, 9999)}", height - since, left, prices))
        return EscrowInstance(height, block, tuple(dice.shuffled(accounts)))

    def draw(self, dice: Dice, *, practice: bool) -> EscrowInstance:
        """Draw the accounts."""
        return self.drawn(dice, practice=practice)

    def told(self, instance: EscrowInstance) -> Told:
        """The accounts as a table."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["account", "settled_at", "funds_uve", "lease_prices_uve_per_block"])
        for one in instance.accounts:
            writer.writerow([one.name, one.settled_at, one.funds, " ".join(map(str, one.prices))])
        readme = f"""
`record/accounts.csv` has {ACCOUNTS} escrow accounts: the height at which each was last settled, what it held then, and the prices of
its leases, in uve a block. Now is height {instance.height}, and a block takes {instance.block_seconds} seconds. Write `submit/{FILE}`
with a line for each account:

    account,hours
    {instance.accounts[0].name},12.34

`hours` is how long the account's funds last from now on, if nobody adds any: in hours, cut down to two decimals. Each is right or not,
5 points each.
"""
        task = {"height": instance.height, "block_seconds": instance.block_seconds}
        return Told(task, readme, {"accounts.csv": out.getvalue()}, {FILE: ",".join(_HEAD) + "\n"})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """The first line that is missing, twice there, or no number of hours."""
        name = f"submit/{FILE}"
        rows = _rows(submission[FILE], name)
        for one in csv.DictReader(io.StringIO(record.get("accounts.csv", ""))):
            account = one["account"]
            if account not in rows:
                return f"{name}: {account}: is missing"
            hours = figure_of(rows[account])
            if hours is None or hours < 0:
                return f"{name}: {account}: hours: '{rows[account]}' is no number of hours"
            if hours > 1000:
                return f"{name}: {account}: hours: {hours} would be more than a month, look at the unit"
            if hours != round(hours, 2):
                return f"{name}: {account}: hours: two decimals are asked for"
        return None

    def judge(self, instance: EscrowInstance, submission: Submission) -> Mapping[str, Judged]:
        """Compare every account's hours exactly."""
        right = right_figures(_hours(instance), _rows(submission[FILE], FILE))
        return {"hours": Judged(len(right) / ACCOUNTS, f"{len(right)} of {ACCOUNTS} accounts exact")}

    def answers(self, instance: EscrowInstance) -> Sequence[str]:
        """The hours of two digits before the point: shorter ones may well be a price."""
        return [text for hours in _hours(instance).values() if len(text := shown_figure(hours)) == 5]

    def oracle(self, instance: EscrowInstance) -> Submission:
        """All hours."""
        return _file(_hours(instance))

    def guess(self, instance: EscrowInstance, dice: Dice) -> Submission:
        """Hours of zero to sixty."""
        return _file({one.name: dice.decimal("0", "60", "0.01") for one in instance.accounts})

    def near_misses(self, instance: EscrowInstance) -> Sequence[NearMiss]:
        """One step forgotten."""

        def miss(name: str, least: float, most: float, **changes: Any) -> NearMiss:
            return NearMiss(name, _file(_hours(instance, **changes)), least, most)

        return [
            miss("rounded, not cut", 5, 95, rounded=True),
            miss("only the first lease", 35, 40, leases=1),
            miss("what is owed since the settlement forgotten", 0, 25, since=False),
            miss("an hour of another block time", 5, 40, block_seconds=instance.block_seconds + 1),
        ]


def _hours(
    instance: EscrowInstance, *, rounded: bool = False, leases: int | None = None, since: bool = True, block_seconds: int | None = None
) -> dict[str, Decimal]:
    """Hours by account, cut to hundredths; the keywords are mistakes."""
    found = {}
    for one in instance.accounts:
        rate = Fraction(sum(one.prices[:leases]))
        left = Fraction(one.funds) - (rate * (instance.height - one.settled_at) if since else 0)
        hundredths = max(Fraction(0), left / rate * (block_seconds or instance.block_seconds) / 36)
        found[one.name] = Decimal(round(hundredths) if rounded else int(hundredths)) / 100
    return found


def _file(hours: Mapping[str, Decimal]) -> Submission:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEAD)
    writer.writerows([name, format(value, ".2f")] for name, value in hours.items())
    return {FILE: out.getvalue()}


def _rows(text: str, name: str) -> dict[str, str]:
    """Hours by account, as written. Raises InputError for what is no such table."""
    try:
        lines = list(csv.reader(io.StringIO(text.lstrip("\ufeff"))))
    except csv.Error as error:
        raise InputError(f"{name}: is no CSV ({error})") from None
    lines = [[cell.strip() for cell in line] for line in lines if any(cell.strip() for cell in line)]
    if not lines or lines[0] != _HEAD:
        raise InputError(f"{name}: begins with other columns, expected {','.join(_HEAD)}")
    found: dict[str, str] = {}
    for line in lines[1:]:
        if len(line) != len(_HEAD):
            raise InputError(f"{name}: '{','.join(line)}' has {len(line)} columns, expected {','.join(_HEAD)}")
        if line[0] in found:
            raise InputError(f"{name}: {line[0]}: is there twice")
        found[line[0]] = line[1]
    return found


EXERCISE: Final = EscrowExercise()
