"""Where a run of the present code first parts from the one that a baseline was made of: by fingerprints kept every few blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from marketsim.errors import InputError, InvariantError
from marketsim.experiments.gate.baseline import KeptScenario
from marketsim.experiments.runs.variants import Variant

CHUNKS = 50
"""How many fingerprints a baseline keeps of one run; each 8 hex digits."""
_DIGITS = 8


@dataclass(frozen=True)
class FirstDifference:
    """The first stretch of blocks whose end differs, None where only what is reported at the end does."""

    seed: int
    after: int | None
    until: int | None
    clock: str
    why: str = ""

    def __str__(self) -> str:
        """A sentence for people."""
        if self.after is None or self.until is None:
            return f"seed {self.seed}: {self.why}"
        return f"seed {self.seed}: equal up to block {self.after:,}, different by block {self.until:,} ({self.clock})"

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"seed": self.seed, "equal_to_block": self.after, "different_by_block": self.until, "time": self.clock, "text": str(self)}


def trail_of(arm: Variant, seed: int) -> dict[str, Any]:
    """Fingerprints of one run at `CHUNKS` heights, the horizon the last: what a baseline keeps of its first seed."""
    scenario = _scenario(arm)
    step = max(1, -(-scenario.horizon_blocks // CHUNKS))
    heights = [*range(step, scenario.horizon_blocks, step), scenario.horizon_blocks]
    return {"seed": seed, "every": step, "prints": " ".join(_prints(scenario, seed, heights))}


def where_parted(arm: Variant, kept: KeptScenario, changed: Sequence[int]) -> FirstDifference | None:
    """Run the trail's seed again and name the first stretch that differs, None without a trail."""
    if not kept.trail:
        return None
    try:
        seed, step, prints = int(kept.trail["seed"]), int(kept.trail["every"]), str(kept.trail["prints"]).split()
    except (KeyError, ValueError):
        return None
    scenario = _scenario(arm)
    last = scenario.horizon_blocks
    heights = [*range(step, last, step), last][: len(prints)]
    known = [0, *heights]
    for (before, height), (old, new) in zip(pairwise(known), zip(prints, _prints(scenario, seed, heights), strict=False), strict=False):
        if old != new:
            return FirstDifference(seed, before, height, _clock(height, scenario.block_ms))
    if seed not in changed:
        return FirstDifference(seed, None, None, "", f"no difference; the first seed that differs is {changed[0]}")
    return FirstDifference(seed, None, None, "", "every kept fingerprint is equal; the difference is in what the end of the run reports")


def _scenario(arm: Variant) -> Any:
    from marketsim.scenario import scenario_from_mapping

    return scenario_from_mapping(arm.mapping, arm.base, name=arm.label)


def _prints(scenario: Any, seed: int, heights: Sequence[int]) -> list[str]:
    """The fingerprints' first digits; a run that breaks ends them."""
    from marketsim.simulation.play import Play, prepare

    found: list[str] = []
    try:
        played = Play(scenario, prepare(scenario, seed), seed)
        for height in heights:
            played.advance(height)
            found.append(played.fingerprint()[:_DIGITS])
    except (InputError, InvariantError):
        found.append("broken")
    return found


def _clock(height: int, block_ms: int) -> str:
    seconds = height * block_ms // 1000
    days, rest = divmod(seconds, 86_400)
    return f"day {days}, {rest // 3600:02}:{rest % 3600 // 60:02} of the run"
