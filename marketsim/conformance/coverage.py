"""Counts which answers of the protocol the hand-written messages of a folder of scenarios reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from marketsim.chain.columns import Rules
from marketsim.chain.edge import result_of
from marketsim.chain.parsing import Message
from marketsim.chain.rule_sets import QUIRKS_OF, RULES
from marketsim.chain.status import Status
from marketsim.chain.transitions import ADDRESSED, TableAnswer, outcomes
from marketsim.errors import InputError
from marketsim.scenario import load_scenario
from marketsim.scenario.files import kind_of
from marketsim.scenario.model import Scenario
from marketsim.scenario.yaml_source import read_source


class AllowedAnswer(NamedTuple):
    """One answer that the protocol table allows: to which message, about which kind of object in which
    state."""

    object: str
    state: str
    message: str
    outcome: str

    def __str__(self) -> str:
        if self.object == "-":
            return f"{self.message}: {self.outcome}"
        article = "an" if self.object[0] in "ao" else "a"
        return f"{self.message} about {article} {self.object} that is {self.state}: {self.outcome}"


Found = dict[str, dict[AllowedAnswer, list[str]]]
"""By rule set: each row with the scenarios that reach it."""


@dataclass
class Coverage:
    """What the scenarios reach. `allowed` are the rows of the table by rule set; `outside` what happened
    although the table does not have it."""

    allowed: Mapping[str, frozenset[AllowedAnswer]]
    reached: Found
    outside: Found
    scenarios: list[str] = field(default_factory=list)

    def missing(self, rules: str) -> list[AllowedAnswer]:
        """Return the rows of a rule set that no scenario reaches, by message."""
        left = self.allowed[rules] - self.reached[rules].keys()
        return sorted(left, key=lambda row: (row.message, row.state, row.outcome))

    @property
    def count(self) -> tuple[int, int]:
        """Rows reached and rows in all, over the three rule sets."""
        total = sum(map(len, self.allowed.values()))
        return total - sum(len(self.missing(rules)) for rules in self.allowed), total

    @property
    def percent(self) -> float:
        """The share of all rows that is reached, in percent."""
        reached, total = self.count
        return 100.0 * reached / total

    def by_message(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Return rows reached and rows in all by message and rule set; (0, 0) where a rule set lacks the
        message."""
        table: dict[str, dict[str, tuple[int, int]]] = {}
        for rules, allowed in self.allowed.items():
            for row in allowed:
                line = table.setdefault(row.message, dict.fromkeys(self.allowed, (0, 0)))
                reached, total = line[rules]
                line[rules] = (reached + (row in self.reached[rules]), total + 1)
        return dict(sorted(table.items()))

    def as_json(self) -> dict[str, Any]:
        """Return the certificate as plain data."""
        reached, total = self.count
        return {
            "reached": reached,
            "total": total,
            "percent": self.percent,
            "scenarios": self.scenarios,
            "messages": {
                message: {rules: {"reached": n, "total": of} for rules, (n, of) in line.items()}
                for message, line in self.by_message().items()
            },
            "missing": {rules: [row._asdict() for row in self.missing(rules)] for rules in self.allowed},
            "outside": {
                rules: [row._asdict() | {"scenarios": names} for row, names in sorted(rows.items())] for rules, rows in self.outside.items()
            },
            "only_reached_by": self.only_reached_by(),
        }

    def only_reached_by(self) -> dict[str, int]:
        """Return for each scenario how many rows only it reaches."""
        counts = dict.fromkeys(self.scenarios, 0)
        for rows in self.reached.values():
            for names in rows.values():
                if len(names) == 1:
                    counts[names[0]] += 1
        return counts


def row_of(outcome: TableAnswer) -> AllowedAnswer:
    """Return an answer of the protocol table as a row of the certificate."""
    return AllowedAnswer(ADDRESSED.get(outcome.message, "-"), outcome.state, outcome.message, result_of(outcome.status))


def allowed_rows(rules: Rules) -> frozenset[AllowedAnswer]:
    """Return every answer that a rule set can give, with its quirks off or on."""
    mask = 0
    for quirk in QUIRKS_OF[rules]:
        mask |= quirk
    return frozenset(map(row_of, outcomes(rules, mask)))


def cover(folder: Path, progress: Callable[[str], None] | None = None) -> Coverage:
    """Run every scenario of a folder and its subfolders that has messages by hand or governance actions.

    Files of other kinds are skipped. Raises InputError for a folder without scenarios, and for scenarios
    that cannot be run, all at once.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder, expected one with scenario files")
    coverage = Coverage(
        allowed={name: allowed_rows(rules) for name, rules in RULES.items()},
        reached={name: {} for name in RULES},
        outside={name: {} for name in RULES},
    )
    errors: list[str] = []
    scenarios = 0
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml"}):
        try:
            if kind_of(read_source(path).data) != "scenario":
                continue
            scenario = load_scenario(path)
            scenarios += 1
            if not scenario.messages and not scenario.governance:
                continue
            name = str(path.relative_to(folder))
            if progress is not None:
                progress(name)
            coverage.scenarios.append(name)
            _run(scenario, name, coverage)
        except InputError as error:
            errors += error.lines
    if errors:
        raise InputError(errors)
    if not scenarios:
        raise InputError(f"{folder}: has no scenarios, expected at least one scenario file")
    return coverage


def _run(scenario: Scenario, name: str, coverage: Coverage) -> None:
    from marketsim.simulation.play import play, prepare

    allowed, reached = coverage.allowed[scenario.rules], coverage.reached[scenario.rules]
    outside = coverage.outside[scenario.rules]

    def observe(message: Message, state: str, status: Status) -> None:
        row = row_of(TableAnswer(message["op"], state, status))
        names = (reached if row in allowed else outside).setdefault(row, [])
        if name not in names:
            names.append(name)

    play(scenario, prepare(scenario, scenario.seed), scenario.seed, observe=observe)


def missing_lines(found: Coverage) -> list[str]:
    """What no scenario reaches, and what happened although the table lacks it, one line each."""
    lines = [f"missing under {rules}: {row}" for rules in found.allowed for row in found.missing(rules)]
    lines += [
        f"not in the table of {rules}: {row} ({', '.join(names)})"
        for rules, rows in found.outside.items()
        for row, names in sorted(rows.items())
    ]
    return lines


def total_line(found: Coverage, require: float) -> str:
    """The certificate in one line."""
    reached, total = found.count
    wanted = f", {require:g} % required" if require else ""
    return f"{reached} of {total} rows reached by {len(found.scenarios)} scenarios with messages by hand: {found.percent:.1f} %{wanted}"
