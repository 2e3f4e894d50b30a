"""Where a run of the present code first parts from the one that a baseline was made of, by a trail short enough to keep with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marketsim.errors import InputError, InvariantError
from marketsim.experiments.gate.baseline import KeptScenario
from marketsim.experiments.runs.variants import Variant

CHUNKS_MAX = 300
"""A baseline keeps at most so many rows of a trail: of longer runs every second, third … chunk."""
_DIGITS = 3
"""Hex digits kept of each hash. They run on, so that two that agree by chance differ a chunk later."""


@dataclass(frozen=True)
class Parting:
    """The first chunk of blocks in which ingredients of a run are others than the baseline's, None where no kept trail tells."""

    seed: int
    blocks: tuple[int, int] | None
    ingredients: tuple[str, ...]
    clock: str
    why: str = ""

    def __str__(self) -> str:
        """A sentence for people."""
        if self.blocks is None:
            return f"seed {self.seed}: {self.why}"
        first, last = self.blocks
        return f"seed {self.seed}, blocks {first:,} to {last:,} ({self.clock}): {', '.join(self.ingredients)}; equal before"

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "seed": self.seed,
            "blocks": list(self.blocks) if self.blocks else None,
            "ingredients": list(self.ingredients),
            "text": str(self),
        }


def kept_trail(arm: Variant, seed: int) -> dict[str, Any]:
    """Run one seed with its trail (see `marketsim.recording.trail`) and shorten it: what a baseline keeps."""
    from marketsim.chain.events import TRAIL_BLOCKS
    from marketsim.recording.trail import INGREDIENTS

    scenario = _scenario(arm)
    chunks = -(-scenario.horizon_blocks // TRAIL_BLOCKS)
    every = TRAIL_BLOCKS * -(-chunks // CHUNKS_MAX)
    return {
        "seed": seed,
        "every": every,
        "ingredients": list(INGREDIENTS),
        "hashes": " ".join(_hashes(scenario, seed, every, len(INGREDIENTS))),
    }


def where_parted(arm: Variant, kept: KeptScenario, changed: Sequence[int]) -> Parting | None:
    """Run the trail's seed again and name the first chunk that differs, None without a trail that this version can compare."""
    from marketsim.recording.trail import INGREDIENTS

    trail = kept.trail
    try:
        seed, every, hashes = int(trail["seed"]), int(trail["every"]), str(trail["hashes"]).split()
        names = tuple(map(str, trail["ingredients"]))
    except (KeyError, TypeError, ValueError):
        return None
    if names != INGREDIENTS or every < 1:
        return None
    scenario = _scenario(arm)
    try:
        present = _hashes(scenario, seed, every, len(names))
    except (InputError, InvariantError) as error:
        return Parting(seed, None, (), "", f"the run ends with: {str(error).splitlines()[0]}")
    for number, (old, new) in enumerate(zip(hashes, present, strict=False)):
        if old != new:
            first, last = number * every + 1, min((number + 1) * every, scenario.horizon_blocks)
            parts = tuple(
                name for at, name in enumerate(names) if old[at * _DIGITS : (at + 1) * _DIGITS] != new[at * _DIGITS : (at + 1) * _DIGITS]
            )
            return Parting(seed, (first, last), parts, _clock(first - 1, scenario.block_ms))
    if len(hashes) != len(present):
        return Parting(seed, None, (), "", "the horizon is another, all blocks of both are equal")
    if seed not in changed:
        return Parting(seed, None, (), "", f"no difference; the first seed that differs is {changed[0]}")
    return Parting(seed, None, (), "", "the kept trail is equal; the difference is in what is only counted at the end")


def _scenario(arm: Variant) -> Any:
    from marketsim.scenario import scenario_from_mapping

    return scenario_from_mapping(arm.mapping, arm.base, name=arm.label)


def _hashes(scenario: Any, seed: int, every: int, ingredients: int) -> list[str]:
    """For each chunk of `every` blocks the first digits of its running hashes, the ingredients' one after the other."""
    from marketsim.simulation import run

    trail = run(scenario, seed=seed, trail=True).record.trail
    assert trail is not None
    ends = [min(end, scenario.horizon_blocks) for end in range(every, scenario.horizon_blocks + every, every)]
    return ["".join(f"{value:08x}"[:_DIGITS] for value in trail.upto(end)[:ingredients]) for end in ends]


def _clock(height: int, block_ms: int) -> str:
    seconds = height * block_ms // 1000
    days, rest = divmod(seconds, 86_400)
    return f"from day {days}, {rest // 3600:02}:{rest % 3600 // 60:02}"
