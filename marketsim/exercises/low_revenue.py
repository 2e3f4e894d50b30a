"""Exercise 3 of the training document: revenue is too low although bids are won; find out why, mend it, and say what that brings.

What is handed in is run in the learner's market, in five runs that nobody has seen, beside the market as it should be and as it is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from marketsim.errors import InputError
from marketsim.exercises.dice import Dice
from marketsim.exercises.exact_figures import figure_of
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told
from marketsim.exercises.plain_yaml import as_number, leaves, read_mapping, yaml_text
from marketsim.exercises.revenue_market import (
    BY_NAME,
    CAUSES,
    CONFIG_KEYS,
    DAEMON_KEYS,
    DAYS,
    HOME,
    NOT_PLANTED,
    ODD,
    TRAINEE,
    WARM_UP_DAYS,
    RevenueMarket,
    Settings,
    draw_market,
    nested,
    scenario_of,
)
from marketsim.face.runs import RunResult
from marketsim.face.runs import run as run_whole
from marketsim.scenario.files import provider_of_text
from marketsim.scenario.literals import parse_duration
from marketsim.scenario.provider_file import lift_filters

DIAGNOSIS, CONFIG, DAEMON = "diagnosis.yaml", "provider-config.yaml", "daemon.yaml"
MOST: Final = {"causes": 45.0, "fix": 45.0, "prediction": 10.0}
RUNS: Final = 5
_WON: Final = (0.85, 0.95)
_BROKEN_MOST, _MENDED_LEAST = 0.80, 0.95
_TRIES: Final = 40
_UNNEEDED: Final = 0.15
_NEAR: Final = 0.10
_NAMES: Final = (*BY_NAME, *NOT_PLANTED)


@dataclass(frozen=True)
class RevenueInstance:
    """A market, the numbers of the runs that judge, and those of the two weeks that the learner sees."""

    market: RevenueMarket
    judged: tuple[int, ...] = ()
    shown: tuple[int, int] = (0, 0)

    def net(self, settings: Settings) -> float:
        """Income a day with these settings, uve, mean of the judged runs."""
        return fmean(self.market.income(settings, number).net for number in self.judged)

    def won(self, settings: Settings) -> float:
        """Share of decided bids that were won, mean of the judged runs."""
        return fmean(self.market.income(settings, number).won for number in self.judged)


class RevenueExercise:
    """Exercise 3: troubleshoot low revenue."""

    name = "low-revenue"
    title = "Exercise 3: troubleshoot low revenue"
    version = 2
    minutes = 60
    needs = ""
    files = (DIAGNOSIS, CONFIG, DAEMON)
    most = MOST
    chance = Chance(8.8, 14.2, "causes as often as they are planted, nothing mended, on the instances of 40 learners")
    hints = (
        "Compare `record/week.csv` with `record/healthy.csv`: are there fewer bids, is each worth less, or does the money go elsewhere?",
        "Equal volume and a lower price: look at unit prices. All as ever: see what is paid, and the gas. Fewer: see what was declined.",
        "`insufficient_resources` is a filter, a full machine or a limit of leases; `invalid_attributes` is a region or an attribute; "
        "`engine_disabled` is a host that is down; `order_not_open` is a bid that came late.",
        "`record/orders.csv` has all orders and who won them: sort by size, by GPUs, by region, and see which you never win.",
        "Not all that looks odd is wrong: two settings do and cost nothing. Ask of each what in the record it explains.",
        "Change only the keys that the cause needs. Income is active leases × mean price × blocks a day, less 2 %, less gas.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> RevenueInstance:
        """Draw a market with something wrong, whether or not it would be accepted."""
        return RevenueInstance(draw_market(dice))

    def draw(self, dice: Dice, *, practice: bool) -> RevenueInstance:
        """Draw markets until one is accepted: bids won are high in health and in sickness, and mending pays."""
        for _ in range(_TRIES):
            market = draw_market(dice)
            judged = tuple(dice.whole(1, 10**6) for _ in range(RUNS))
            shown = (dice.whole(1, 10**6), dice.whole(1, 10**6))
            instance = RevenueInstance(market, judged, shown)
            if is_accepted(instance):
                break
        return instance

    def told(self, instance: RevenueInstance) -> Told:
        """The files as they are, and what the trainee sees of a week, beside a week in which all was well."""
        market = instance.market
        mapping = scenario_of(market, market.broken) | {"record": "everything"}
        week = run_whole(mapping, seed=instance.shown[0], progress=False)
        well = run_whole(scenario_of(market, market.healthy) | {"record": "everything"}, seed=instance.shown[1], progress=False)
        meanings = {cause.name: cause.meaning for cause in CAUSES} | NOT_PLANTED
        names = "\n".join(f"- `{name}`: {meaning}" for name, meaning in meanings.items())
        readme = f"""
Your provider is called `{TRAINEE}` and stands in {HOME}. It wins nearly nine bids in ten, and still earns too little. `record/` has what
is to be seen of its last {DAYS} days: `week.csv` beside `healthy.csv` (the same figures of an earlier week in which all was well),
`orders.csv` (every order of the market, who won it and at what price), `bids.csv` and `leases.csv` (yours), `declines.csv` (why you did
not bid). Prices are in uve a block of 6 seconds.

One or two things are wrong. Hand in

- `submit/{DIAGNOSIS}`: `causes`, a list of names from below; `evidence`, a sentence on what in the record shows it;
  `predicted_income_per_day`, what your provider will earn a day once all is mended, in uve, net of the network's take of 2 % and of gas;
- `submit/{CONFIG}` and `submit/{DAEMON}`: your two files, mended. Change what is wrong and nothing else.

Names of causes:

{names}

45 points for the causes (F1: naming too many costs as well as naming too few). 45 for the fix: your files are run in the market, and get
the share of the lost income that they bring back, less 15 % for each change that was not needed. 10 for a prediction within 10 %.
"""
        record = {
            "week.csv": _figures(week),
            "healthy.csv": _figures(well),
            "orders.csv": _orders(week),
            "bids.csv": _own(week, "bids", ["order", "height", "price", "state", "latency_ms"]),
            "leases.csv": _own(week, "leases", ["order", "created_at", "closed_at", "ended", "price", "withdrawn"]),
            "declines.csv": _own(week, "declines", ["order", "height", "reason"]),
        }
        files = settings_files(market.broken)
        begun = {"causes": [], "evidence": "", "predicted_income_per_day": ""}
        return Told({"days": DAYS, "block_seconds": 6, "region": HOME}, readme, record, {DIAGNOSIS: yaml_text(begun), **files})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """The first thing wrong: a name that is no cause, a key that was not there, a value that cannot be read."""
        diagnosis = read_mapping(submission[DIAGNOSIS], f"submit/{DIAGNOSIS}")
        _causes(diagnosis, f"submit/{DIAGNOSIS}")
        if figure_of(diagnosis.get("predicted_income_per_day", "")) is None:
            return f"submit/{DIAGNOSIS}: predicted_income_per_day: is missing or no number, expected uve a day"
        if not str(diagnosis.get("evidence") or "").strip():
            return f"submit/{DIAGNOSIS}: evidence: is missing, say what in the record shows it"
        settings, others = read_settings(submission, "submit/")
        if others:
            return f"submit/{others[0]}: is no key of the files that you were given"
        for key in ("withdraw_every", "usage_reports.factor", "host.bid_delay", "host.lease_slots"):
            if settings[key] is None:
                return f"submit/{DAEMON}: {key}: is missing"
        return None

    def judge(self, instance: RevenueInstance, submission: Submission) -> Mapping[str, Judged]:
        """Compare the causes, run the files, compare the prediction."""
        diagnosis = read_mapping(submission.get(DIAGNOSIS, "{}"), DIAGNOSIS)
        named = _causes(diagnosis, DIAGNOSIS) if DIAGNOSIS in submission else []
        market = instance.market
        right = len(set(named) & set(market.causes))
        f1 = 2 * right / (len(named) + len(market.causes)) if named else 0.0
        predicted = figure_of(diagnosis.get("predicted_income_per_day", ""))
        healthy = instance.net(market.healthy)
        near = predicted is not None and abs(float(predicted) - healthy) <= _NEAR * healthy
        return {
            "causes": Judged(f1, f"{right} of {len(named)} named are there"),
            "fix": self._fix(instance, submission),
            "prediction": Judged(float(near), f"{'within' if near else 'not within'} 10 %"),
        }

    def _fix(self, instance: RevenueInstance, submission: Submission) -> Judged:
        market = instance.market
        try:
            settings, others = read_settings(submission, "")
            mine = instance.net(settings)
        except InputError as error:
            return Judged(0.0, error.lines[0])
        broken, healthy = instance.net(market.broken), instance.net(market.healthy)
        gain = min(1.0, max(0.0, (mine - broken) / (healthy - broken)))
        needed = {key for name in market.causes for key in BY_NAME[name].keys}
        changed = [key for key in settings if as_number(settings[key]) != as_number(market.broken[key])]
        unneeded = len([key for key in changed if key not in needed]) + len(others)
        share = gain * max(0.0, 1 - _UNNEEDED * unneeded)
        return Judged(share, f"brings back {100 * gain:.0f} % of what was lost, {unneeded} unneeded changes")

    def answers(self, instance: RevenueInstance) -> Sequence[str]:
        """What was planted away, and the income to be predicted."""
        market = instance.market
        gone = [str(market.healthy[key]) for name in market.causes for key in BY_NAME[name].keys]
        return [text for text in gone if text.endswith("uve")] + [f"{instance.net(market.healthy):.0f}"]

    def oracle(self, instance: RevenueInstance) -> Submission:
        """The causes, the files as they should be, the income that they bring."""
        market = instance.market
        return _handed_in(market.causes, instance.net(market.healthy), market.healthy)

    def guess(self, instance: RevenueInstance, dice: Dice) -> Submission:
        """Causes as often as they are planted, an income such as there are, nothing mended."""
        return _handed_in(draw_market(dice).causes, 10**6 * dice.whole(25, 65), instance.market.broken)

    def near_misses(self, instance: RevenueInstance) -> Sequence[NearMiss]:
        """What somebody does who looks at the symptom alone, who changes everything, and who does half of it."""
        market = instance.market
        healthy = instance.net(market.healthy)
        dearer = market.broken | {"bid_engine.min_profit_margin": market.broken["bid_engine.min_profit_margin"] + 10}
        generous = {
            "bid_engine.min_profit_margin": 12.5,
            "bid_engine.max_concurrent_bids": 400,
            "bid_engine.bid_timeout": "10m",
            "bid_engine.pricing.cpu_millicores": "0.00405uve",
            "bid_engine.pricing.memory_mb": "0.002005uve",
            "bid_engine.pricing.storage_mb": "0.0000505uve",
            "bid_engine.pricing.gpu": "219.5uve",
            "filters.max_cpu": 64_000,
            "filters.max_memory": 262_144,
            "filters.max_storage": 20_000_000,
            "filters.allowed_regions": None,
            "withdraw_every": "24h",
            "host.bid_delay": "1s",
            "host.lease_slots": 1000,
            "host.restarts_every": None,
            "host.restarts_last": None,
            "usage_reports.factor": 1,
        }
        needed = {key for name in market.causes for key in BY_NAME[name].keys}
        suspects = [one for one in ODD if one.key in market.odd and one.key not in needed]
        usual = {one.key: one.usual for one in suspects}
        one_less = market.causes[:-1]
        found = [
            NearMiss("the symptom alone: a higher margin", _handed_in(["margin_low"], healthy, dearer), 0, 50),
            NearMiss("everything changed", _handed_in(_NAMES, healthy, market.broken | generous), 0, 30),
            NearMiss("found and not mended", _handed_in(market.causes, healthy, market.broken), 55, 55),
            NearMiss("mended and not named", _handed_in(["demand_lower"], healthy, market.healthy), 55, 55),
            NearMiss(
                "one change too many", _handed_in(market.causes, healthy, market.healthy | {"bid_engine.max_concurrent_bids": 400}), 85, 94
            ),
        ]
        if suspects:
            named = [*market.causes, *(one.cause for one in suspects)]
            found.append(NearMiss("whatever looks odd in the files", _handed_in(named, healthy, market.healthy | usual), 60, 85))
        if one_less:
            half = market.healthy | {key: market.broken[key] for key in BY_NAME[market.causes[-1]].keys}
            found.append(NearMiss("one cause of two", _handed_in(one_less, 0, half), 30, 80))
        return found


def is_accepted(instance: RevenueInstance) -> bool:
    """Whether bids won say nothing, much is lost, and mending brings it back, in the mean of the judged runs."""
    market = instance.market
    healthy, broken = instance.net(market.healthy), instance.net(market.broken)
    won = (instance.won(market.healthy), instance.won(market.broken))
    mended = instance.net(market.broken | {key: market.healthy[key] for name in market.causes for key in BY_NAME[name].keys})
    return all(_WON[0] <= share <= _WON[1] for share in won) and broken <= _BROKEN_MOST * healthy and mended >= _MENDED_LEAST * healthy


def settings_files(settings: Settings) -> dict[str, str]:
    """The two files with these settings."""
    return {CONFIG: yaml_text(nested(settings, CONFIG_KEYS)), DAEMON: yaml_text(nested(settings, DAEMON_KEYS))}


def read_settings(submission: Submission, folder: str) -> tuple[Settings, list[str]]:
    """Return the settings of the two files, and the keys that are none of theirs, with the file's name.

    Raises InputError for a file that is missing or cannot be read.
    """
    settings: Settings = {}
    others: list[str] = []
    for name, keys in ((CONFIG, CONFIG_KEYS), (DAEMON, DAEMON_KEYS)):
        shown = f"{folder}{name}"
        if name not in submission:
            raise InputError(f"{shown}: is missing")
        content = read_mapping(submission[name], shown)
        if name == CONFIG:
            provider_of_text(submission[name], shown)
            content = lift_filters(content)
        known = {tuple(key.split(".")): key for key in keys}
        others += [f"{name}: {'.'.join(path)}" for path in leaves(content) if path not in known]
        for path, key in known.items():
            part: Any = content
            for step in path:
                part = part.get(step) if isinstance(part, Mapping) else None
            settings[key] = part
    for key in DAEMON_KEYS:
        _check_daemon(key, settings[key], f"{folder}{DAEMON}")
    return settings, others


def _check_daemon(key: str, value: Any, name: str) -> None:
    if value is None:
        return
    if key == "usage_reports.factor":
        share = figure_of(value)
        if share is None or not 0 <= share <= 1:
            raise InputError(f"{name}: {key}: '{value}' is no share, expected 0 to 1")
        return
    if key == "host.lease_slots":
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10**6:
            raise InputError(f"{name}: {key}: '{value}' is no number of leases")
        return
    try:
        milliseconds = parse_duration(value).milliseconds(6_000)
    except ValueError as error:
        raise InputError(f"{name}: {key}: {error}") from None
    least = 60_000 if key == "withdraw_every" else 1
    if milliseconds < least:
        raise InputError(f"{name}: {key}: {value} is too short, give at least {'1m' if least > 1 else '1ms'}")


def _causes(diagnosis: Mapping[str, Any], name: str) -> list[str]:
    causes = diagnosis.get("causes")
    if not isinstance(causes, list) or not causes:
        raise InputError(f"{name}: causes: is missing or no list of names")
    for cause in causes:
        if cause not in _NAMES:
            raise InputError(f"{name}: causes: '{cause}' is no cause, the names are {', '.join(_NAMES)}")
    return list(dict.fromkeys(causes))


def _handed_in(causes: Sequence[str], income: float, settings: Settings) -> Submission:
    diagnosis = {"causes": list(causes), "evidence": "seen in the record", "predicted_income_per_day": round(income)}
    return {DIAGNOSIS: yaml_text(diagnosis), **settings_files(settings)}


def _table(rows: Sequence[Sequence[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _figures(week: RunResult) -> str:
    """What a dashboard shows of the trainee, by day after the first."""
    days = DAYS - WARM_UP_DAYS
    first, last = WARM_UP_DAYS * 14_400, DAYS * 14_400
    bids, leases, declines, orders = (_mine(week, name) for name in ("bids", "leases", "declines", "orders"))
    bids, declines = bids[bids.height > first], declines[declines.height > first]
    ended = leases.closed_at.fillna(last).where(leases.closed_at >= 0, last)
    active = (ended.clip(first, last) - leases.created_at.clip(first, last)).sum() / (last - first)
    made = leases[leases.created_at > first]
    gas = week.providers.set_index("name").loc[TRAINEE, "network_fees"] * days / DAYS
    over = leases[leases.closed_at >= 0]
    owed = float((over.price.astype(float) * (over.closed_at - over.created_at).astype(float)).sum())
    rows: list[list[Any]] = [
        ["figure", "value"],
        ["orders a day", round(int((orders.created_at > first).sum()) / days, 1)],
        ["bids a day", round(len(bids) / days, 1)],
        ["bids won, percent", round(100 * float((bids.state != "lost").mean()), 1) if len(bids) else 0],
        ["mean bid time, seconds", round(float(bids.latency_ms.mean()) / 1000, 1) if len(bids) else 0],
        ["mean price of new leases, uve a block", round(float(made.price.astype(float).mean()), 1) if len(made) else 0],
        ["active leases", round(float(active), 1)],
        ["paid of price times blocks, leases that ended, percent", round(100 * float(over.withdrawn.sum()) / owed, 1) if owed else 0],
        ["gas a day, uve", round(float(gas) / days)],
    ]
    counts = declines.reason.value_counts()
    rows += [[f"declined a day: {reason}", round(int(count) / days, 1)] for reason, count in counts.items() if count]
    return _table(rows)


def _mine(week: RunResult, name: str) -> Any:
    frame = getattr(week, name)
    return frame[frame.provider == TRAINEE] if "provider" in frame.columns else frame


def _own(week: RunResult, name: str, columns: Sequence[str]) -> str:
    text: str = _mine(week, name)[list(columns)].to_csv(index=False, lineterminator="\n", float_format="%.10g")
    return text


def _orders(week: RunResult) -> str:
    orders, leases = week.orders, week.leases[["order", "provider", "price"]]
    first = leases.drop_duplicates("order")
    joined = orders[["order", "created_at", "cpu", "memory", "gpu", "region", "ceiling"]].merge(first, on="order", how="left")
    joined["memory"] = joined["memory"] // 2**20
    renamed = joined.rename(columns={"cpu": "millicores", "memory": "memory_mb", "provider": "won_by", "price": "won_at"})
    text: str = renamed.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    return text


EXERCISE: Final = RevenueExercise()
