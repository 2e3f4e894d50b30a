"""What a run's trail costs, and what `diff` takes: the baseline with and without it, by turns, and the search for a difference, as ratios
of processor times; and the file's size.

    python benchmarks/trail.py [SCENARIO]
"""

from __future__ import annotations

import sys
import time

from marketsim import load_scenario
from marketsim.experiments.difference.find import first_difference
from marketsim.experiments.difference.sides import side_of_scenario
from marketsim.simulation import run

TURNS = 9
MOST = 1.05
"""What a run with its trail may take, of one without."""
SEARCH = 1.5
"""What the search may take, of the time of both runs."""
CHANGE = "faults=[{kind: outage, provider: community/3, at: 6d, lasts: 1h}]"
"""A difference that lies late, so that most of both runs is played again."""


def main() -> None:
    file = sys.argv[1] if len(sys.argv) > 1 else "scenarios/baseline.yaml"
    scenario = load_scenario(file)
    size = len(run(scenario, trail=True).record.trail.text())  # type: ignore[union-attr]
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * TURNS):
        trail = turn % 4 in (1, 2)  # a b b a: what drifts falls on both
        began = time.process_time()
        run(scenario, trail=trail)
        seconds[trail].append(time.process_time() - began)
    least = {trail: min(found) for trail, found in seconds.items()}
    ratio = least[True] / least[False]
    print(f"{scenario.name}: {least[False]:.3f} s without, {least[True]:.3f} s with its trail of {size / 1000:.0f} kB")
    print(f"ratio {ratio:.3f}, at most {MOST}: {'holds' if ratio <= MOST else 'does not hold'}")
    began = time.process_time()
    sides = side_of_scenario(scenario), side_of_scenario(load_scenario(file, [CHANGE]))
    both = time.process_time() - began
    began = time.process_time()
    found = first_difference(*sides)
    search = (time.process_time() - began) / both
    verdict = "holds" if search <= SEARCH else "does not hold"
    print(f"diff: block {found.height:,}, {search:.2f} of the time of both runs, at most {SEARCH}: {verdict}")


if __name__ == "__main__":
    main()
