"""Six hours of twelve providers, each with an incident or with something that looks like one: series by the minute, and when to warn.

The series are those of the metrics page, at the values that a market gives them: leases taken of a capacity, funds that fall with the
lease's rate and are topped up, bids made and won. The incidents lie on both sides of each threshold: one lease, a quarter of an hour, one
point, two minutes of `for`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from marketsim.exercises.dice import Dice

MINUTES: Final = 360
QUIET: Final = ("at_capacity", "funds_nearly_low", "bids_nearly_low", "bids_pause", "all_near")
LOUD: Final = ("capacity", "capacity_in_peaks", "capacity_and_funds", "funds_low", "funds_out", "bids_low", "capacity_and_bids")
BLOCK_SECONDS: Final = 6
_BIDS_A_MINUTE: Final = 4
"""And one more an hour: of 241 bids no threshold of half percents is a whole number."""
_TRIES: Final = 50
_WINDOW: Final = 60

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Thresholds:
    """What is asked of the three alerts."""

    leases: int
    """Warn above so many active leases …"""
    capacity: int
    """… of so many."""
    hours: float
    bids_percent: float
    capacity_minutes: int
    """`for` of each."""
    hours_minutes: int
    bids_minutes: int

    @property
    def capacity_percent(self) -> float:
        """Share of the capacity above which to warn."""
        return 100 * self.leases / self.capacity


@dataclass
class LeaseFunds:
    """A lease by the minute: hours that its funds last, -1 after its end."""

    number: int
    price: float
    """uve a block."""
    hours: list[float]


@dataclass
class ProviderHours:
    """One provider's six hours by the minute."""

    name: str
    active: list[int]
    bids: list[int]
    won: list[int]
    leases: list[LeaseFunds]


def draw_hours(dice: Dice, thresholds: Thresholds, incidents: Sequence[str], kind: str = "edge") -> list[ProviderHours]:
    """Draw six hours of as many providers as there are incidents, in a drawn order."""
    names = dice.sample(range(10, 100), len(incidents))
    order = dice.shuffled(incidents)
    return [_hours(dice, thresholds, f"{kind}-{name}", incident) for name, incident in zip(names, order, strict=True)]


def _hours(dice: Dice, asked: Thresholds, name: str, incident: str) -> ProviderHours:
    for _ in range(_TRIES):
        drawn = _drawn_hours(dice, asked, name, incident)
        if not _on_the_line(drawn, asked):
            break
    return drawn


def _on_the_line(drawn: ProviderHours, asked: Thresholds) -> bool:
    """Whether an hour's bids are won at exactly the threshold: rounding would then decide."""
    return any(
        bids > 0 and abs(100 * won - asked.bids_percent * bids) < 1e-9
        for won, bids in (_last_hour(drawn, minute) for minute in range(1, MINUTES + 1))
    )


def _last_hour(drawn: ProviderHours, minute: int) -> tuple[int, int]:
    first = max(0, minute - _WINDOW)
    return drawn.won[minute] - drawn.won[first], drawn.bids[minute] - drawn.bids[first]


def _drawn_hours(dice: Dice, asked: Thresholds, name: str, incident: str) -> ProviderHours:
    active = _calm_leases(dice, asked)
    hours = [_falling(asked.hours + 8 + 20 * dice.share()) for _ in range(2)]
    share = [min(0.97, asked.bids_percent / 100 + 0.15 + 0.1 * dice.share())] * (MINUTES + 1)
    rate = [_BIDS_A_MINUTE + (minute % _WINDOW == 0) for minute in range(MINUTES + 1)]
    begin = dice.whole(70, 110)
    line = asked.bids_percent / 100
    if incident in ("capacity", "capacity_and_funds", "capacity_and_bids"):
        _hold(active, begin, dice.whole(50, 100), asked.leases + 1)
        _hold(active, begin + 20, dice.whole(5, 15), asked.leases + 2)
    if incident == "capacity_in_peaks":
        for peak in range(3):
            _hold(active, 40 + 25 * peak, asked.capacity_minutes - 1, asked.leases + 2)
        _hold(active, begin + 80, dice.whole(38, 50), asked.leases + 1)
    if incident in ("at_capacity", "all_near"):
        _hold(active, begin, dice.whole(90, 140), asked.leases)
        _hold(active, begin + 30, asked.capacity_minutes - 1, asked.leases + 1)
    if incident in ("funds_low", "capacity_and_funds"):
        # below for a quarter of an hour and some minutes; below for long
        hours[0] = _topped_up(asked.hours, begin, asked.hours_minutes + dice.whole(13, 16))
        hours[1] = _topped_up(asked.hours, begin + 60, dice.whole(80, 130))
    if incident == "funds_out":
        hours[0] = _falling(2.5 + dice.share())
        hours[0][dice.whole(290, 330) :] = []
    if incident in ("funds_nearly_low", "all_near"):
        hours[0] = _topped_up(asked.hours + 0.25, begin, dice.whole(3, 6))
        hours[1] = _topped_up(asked.hours, begin + 60, asked.hours_minutes - 1)
    if incident == "bids_low":
        _hold(share, begin, dice.whole(120, 160), line - 0.12)
    if incident == "capacity_and_bids":
        _hold(share, begin, dice.whole(150, 180), line - 0.01)
    if incident in ("bids_nearly_low", "all_near"):
        _hold(share, begin, dice.whole(170, 220), line + 0.01)
    if incident == "bids_pause":
        _hold(share, 40, dice.whole(5, 8), 0.0)
        _hold(rate, begin + 60, dice.whole(95, 120), 0)
    bids, won = _counted(dice, rate, share)
    leases = [LeaseFunds(dice.whole(1000, 9999), round(5 + 90 * dice.share(), 3), row) for row in hours]
    return ProviderHours(name, active, bids, won, leases)


def _calm_leases(dice: Dice, asked: Thresholds) -> list[int]:
    """Leases that come and go between half the threshold and two below it."""
    low, high = asked.leases // 2, asked.leases - 2
    now, found = dice.whole(low, high), []
    for _ in range(MINUTES + 1):
        now = min(high, max(low, now + (dice.whole(-1, 1) if dice.share() < 0.4 else 0)))
        found.append(now)
    return found


def _hold(row: list[int] | list[float], begin: int, minutes: int, value: float) -> None:
    for minute in range(begin, min(begin + minutes, len(row))):
        row[minute] = value  # type: ignore[call-overload]


def _falling(hours: float) -> list[float]:
    """Funds that last `hours` at minute 0 and are never topped up."""
    return [max(0.0, hours - minute / 60) for minute in range(MINUTES + 1)]


def _topped_up(line: float, begin: int, minutes: int) -> list[float]:
    """Funds that are below a line of hours for so many minutes, from `begin` on, and are then topped up by half a day."""
    first = line + (begin - 0.5) / 60
    return [first - minute / 60 + (12 if minute >= begin + minutes else 0) for minute in range(MINUTES + 1)]


def _counted(dice: Dice, rate: Sequence[int], share: Sequence[float]) -> tuple[list[int], list[int]]:
    """Counters of bids made and won, as even as whole bids can be; they have counted for a while already."""
    bids, won, owed = [dice.whole(40_000, 90_000)], [dice.whole(20_000, 39_000)], 0.0
    for made, part in zip(rate[1:], share[1:], strict=True):
        owed += made * part
        bids.append(bids[-1] + made)
        won.append(won[-1] + int(owed))
        owed -= int(owed)
    return bids, won


def promtool_series(providers: Sequence[ProviderHours], capacity: int) -> list[dict[str, str]]:
    """The series as `promtool test rules` reads them, a value a minute."""
    found = []
    for each in providers:
        label = f'{{provider="{each.name}"}}'
        rows: dict[str, Sequence[float]] = {
            "virtengine_provider_active_leases": each.active,
            "virtengine_market_active_leases": each.active,
            "virtengine_provider_lease_capacity": [capacity] * (MINUTES + 1),
            "virtengine_bid_total": each.bids,
            "virtengine_bid_accepted_total": each.bids,
            "virtengine_bid_success_total": each.won,
        }
        found += [{"series": name + label, "values": " ".join(map(str, row))} for name, row in rows.items()]
        for at, lease in enumerate(each.leases):
            names = ",".join(f'{key}="{value}"' for key, value in lease_labels(each, at))
            rate = lease.price / BLOCK_SECONDS
            over = ["stale"] * (MINUTES + 1 - len(lease.hours))
            funds = [repr(hours * 3600 * rate) for hours in lease.hours]
            found.append({"series": f"virtengine_escrow_balance{{{names}}}", "values": " ".join([*funds, *over])})
            found.append({"series": f"virtengine_lease_rate{{{names}}}", "values": " ".join([*[repr(rate)] * len(funds), *over])})
    return found


def lease_labels(provider: ProviderHours, at: int) -> Labels:
    """The labels of a provider's lease."""
    number = provider.leases[at].number
    return (("owner", f"tenant-{number % 97}"), ("dseq", str(number)), ("gseq", "1"), ("oseq", "1"), ("provider", provider.name))


@dataclass(frozen=True)
class AlertTarget:
    """One of the three alerts: who is to be warned of, from which minutes its condition holds, and when it fires."""

    name: str
    wait: int
    """Minutes of `for`."""
    holds: dict[Labels, list[bool]]
    """By identity, a value a minute."""

    def fires(self) -> dict[Labels, set[int]]:
        """The minutes at which the alert fires."""
        found = {}
        for labels, row in self.holds.items():
            run, minutes = 0, set()
            for minute, held in enumerate(row):
                run = run + 1 if held else 0
                if run > self.wait:
                    minutes.add(minute)
            found[labels] = minutes
        return found


def alert_targets(providers: Sequence[ProviderHours], asked: Thresholds) -> list[AlertTarget]:
    """The three alerts as the figures say, without any PromQL."""

    def by_minute(holds: Callable[[int], bool]) -> list[bool]:
        return [holds(minute) for minute in range(MINUTES + 1)]

    def few_won(each: ProviderHours, minute: int) -> bool:
        won, bids = _last_hour(each, minute)
        return bids > 0 and 100 * won < asked.bids_percent * bids

    def low(lease: LeaseFunds, minute: int) -> bool:
        return minute < len(lease.hours) and lease.hours[minute] < asked.hours

    return [
        AlertTarget(
            "capacity",
            asked.capacity_minutes,
            {(("provider", p.name),): by_minute(lambda m, p=p: p.active[m] > asked.leases) for p in providers},  # type: ignore[misc]
        ),
        AlertTarget(
            "funds",
            asked.hours_minutes,
            {
                lease_labels(p, at): by_minute(lambda m, lease=lease: low(lease, m))  # type: ignore[misc]
                for p in providers
                for at, lease in enumerate(p.leases)
            },
        ),
        AlertTarget(
            "bids",
            asked.bids_minutes,
            {(("provider", p.name),): by_minute(lambda m, p=p: few_won(p, m)) for p in providers},  # type: ignore[misc]
        ),
    ]
