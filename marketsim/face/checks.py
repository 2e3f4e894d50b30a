"""What checks marketsim itself, and runs against each other, from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from marketsim.errors import InputError
from marketsim.experiments.runs.execute import usable_cores
from marketsim.face.finding import Finding
from marketsim.face.runs import ScenarioLike
from marketsim.face.telling import Telling, told
from marketsim.scenario.load import Overrides, load_scenario


def run_bench(
    kind: Literal["theory", "statistics"],
    *,
    seed: int = 1,
    plant: Mapping[str, float] | None = None,
    workers: int | None = None,
    progress: Telling = None,
) -> Finding:
    """Check the simulator against known answers (`"theory"`), or how often its statistics are right (`"statistics"`).

    `seed` is that of the bench. `plant` plants errors that the theory bench then has to find, by name (arrivals, duration, price) and
    factor. `holds` says whether every check passed; both take minutes. Raises InputError for another kind.

    >>> import marketsim as ms
    >>> ms.run_bench("speed")
    Traceback (most recent call last):
    marketsim.errors.InputError: bench: 'speed' is no bench, benches are theory and statistics
    """
    count = workers or usable_cores()
    if kind not in ("theory", "statistics"):
        raise InputError(f"bench: {kind!r} is no bench, benches are theory and statistics")
    if plant and kind != "theory":
        raise InputError("bench: plant: the statistics bench has no market to plant an error in")
    with told(f"bench {kind}", "parts", progress) as tell:
        done = 0

        def part(_: str) -> None:
            nonlocal done
            done += 1
            if tell is not None:
                tell(done, done)

        if kind == "theory":
            from marketsim.bench import theory

            planted = theory.parse_planted([f"{name}={factor}" for name, factor in (plant or {}).items()])
            agreed = theory.bench(seed, workers=count, planted=planted, progress=part)
            return Finding(agreed.as_json(), agreed.lines(), holds=agreed.agrees, found=agreed)
        from marketsim.bench import statistics

        right = statistics.bench(seed, workers=count, progress=part)
        return Finding(right.as_json(), right.lines(), holds=right.holds, found=right)


def parity(kind: str, *files: str | os.PathLike[str], differences: int = 10) -> Finding:
    """Replay what real programs answered and count what is identical.

    `kind` is escrow, market, settlement, price, sdl or script; `files` are JSON lines, plain or gzip. `differences` is how many of the
    first are shown a file. `holds` says whether all is identical. Raises InputError for another kind and for files that are none of it.

    >>> import marketsim as ms
    >>> ms.parity("price")
    Traceback (most recent call last):
    marketsim.errors.InputError: parity: no file, expected at least one file of JSON lines
    """
    from marketsim.conformance.kinds import KINDS, UNITS, replay_of, report_lines
    from marketsim.conformance.report import replay_file

    if kind not in KINDS:
        raise InputError(f"parity: {kind!r} cannot be replayed, expected one of {', '.join(KINDS)}")
    if not files:
        raise InputError("parity: no file, expected at least one file of JSON lines")
    replay, check = replay_of(kind)
    reports = [replay_file(Path(file), replay, check=check, limit=differences) for file in files]
    same = all(report.same for report in reports)
    data = {"kind": kind, "identical": same, "files": [report.as_json() for report in reports]}
    return Finding(data, [line for report in reports for line in report_lines(report, UNITS[kind])], holds=same, found=reports)


def coverage(folder: str | os.PathLike[str], *, require: float = 0.0) -> Finding:
    """Count the answers of the protocol that the scenarios of a folder reach.

    `holds` says whether at least `require` percent are, and nothing happened that the protocol does not have. Raises InputError for a
    scenario that cannot be run.

    >>> import marketsim as ms
    >>> files = ms.copy_scenario("cases/seed/usage", "covered")
    >>> ms.coverage("covered").found.percent > 0
    True
    """
    from marketsim.conformance.coverage import cover, missing_lines, total_line

    found = cover(Path(folder), None)
    enough = found.percent >= require
    data = found.as_json() | {"required": require, "enough": enough}
    return Finding(data, [*missing_lines(found), total_line(found, require)], holds=enough and not any(found.outside.values()), found=found)


def diff(
    a: ScenarioLike,
    b: ScenarioLike | None = None,
    *,
    overrides: Overrides = (),
    overrides_a: Overrides = (),
    overrides_b: Overrides = (),
    seed: int | None = None,
    seed_b: int | None = None,
    ingredients: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Finding:
    """Find the first thing that two runs did differently; `holds` says that there is none.

    `a` and `b` are results folders or scenarios, which are run first; without `b` it is `a` changed by `overrides_b`. `ingredients` and
    `ignore` choose what is compared: messages, events, prices, payments, settlements, states. Raises InputError for what cannot be
    compared.

    >>> import marketsim as ms
    >>> ms.diff("tiny", overrides_b={"take": 0.05}).holds
    False
    """
    from marketsim.experiments.difference.find import chosen_ingredients, first_difference
    from marketsim.experiments.difference.report import difference_lines
    from marketsim.experiments.difference.sides import Side, side_of_folder, side_of_scenario

    def side(source: ScenarioLike, own: Overrides, number: int | None) -> Side:
        if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
            if own:
                raise InputError(f"{source}: a finished run cannot be changed, give the scenario file")
            return side_of_folder(Path(source))
        scenario = load_scenario(source)
        for some in (overrides, own):
            scenario = load_scenario(scenario, some) if some else scenario
        return side_of_scenario(scenario, number)

    if b is None and isinstance(a, (str, os.PathLike)) and Path(a).is_dir():
        raise InputError(f"{a}: b: is missing, a finished run is compared with another folder or a scenario")
    sides = side(a, overrides_a, seed), side(a if b is None else b, overrides_b, seed if seed_b is None else seed_b)
    found = first_difference(*sides, ingredients=chosen_ingredients(list(ingredients), list(ignore)))
    return Finding(found.as_json(), difference_lines(found), holds=found.equal, found=found)
