"""Finds the first thing that two runs did differently: the chunk by their trails, the event and its message by playing that chunk again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from marketsim.chain.columns import Event, Order, Provider, Trail
from marketsim.chain.events import TRAIL_BLOCKS
from marketsim.errors import InputError
from marketsim.experiments.difference.draws import DrawDifference, draw_differences
from marketsim.experiments.difference.names import Names, desk_state, kind_of_subject, side_by_side
from marketsim.experiments.difference.recorded import recorded_difference
from marketsim.experiments.difference.replay import Happened, Item, PlayedAgain, Said, also_of, compared, event_text, op_of
from marketsim.experiments.difference.sides import Side, changed_keys, hold_both
from marketsim.market.tables import Desk, Plan, Track
from marketsim.recording.trail import INGREDIENTS, RunTrail

LOOKED_AFTER: Final = ("report.sample_every", "warm_up", "horizon")
"""Keys on which it depends when a run looks at its accounts, and so in which pieces cadences settle."""
KEYS_MAX: Final = 20
OBJECTS_MAX: Final = 12

Chunk = tuple[int, int]
"""First and last block of a chunk; (0, 0) is what stands before the first block."""


@dataclass
class FirstDifference:
    """What two runs did differently first. `how` says what it is known from: the trails alone, events that were recorded, or a replay."""

    a: str
    b: str
    ingredients: Sequence[str]
    blocks: int
    equal: bool = False
    how: str = "trails"
    notes: list[str] = field(default_factory=list)
    parted: dict[str, Chunk | None] = field(default_factory=dict)
    chunk: Chunk | None = None
    height: int | None = None
    block_ms: int = 0
    differing: list[str] = field(default_factory=list)
    message: dict[str, Any] | None = None
    event: dict[str, Any] | None = None
    states: list[dict[str, Any]] = field(default_factory=list)
    draws: list[DrawDifference] = field(default_factory=list)
    draws_in_all: int = 0
    scenario: list[tuple[str, Any, Any]] = field(default_factory=list)
    seeds: tuple[int, int] = (0, 0)
    fingerprints: tuple[str, str] = ("", "")

    def as_json(self) -> dict[str, Any]:
        """Plain values for --json."""
        return {
            "a": self.a,
            "b": self.b,
            "equal": self.equal,
            "ingredients": list(self.ingredients),
            "blocks_compared": self.blocks,
            "fingerprints": {"a": self.fingerprints[0], "b": self.fingerprints[1]},
            "seeds": {"a": self.seeds[0], "b": self.seeds[1]},
            "known_from": self.how,
            "parted": {name: None if chunk is None else list(chunk) for name, chunk in self.parted.items()},
            "chunk": None if self.chunk is None else list(self.chunk),
            "height": self.height,
            "differing": self.differing,
            "message": self.message,
            "event": self.event,
            "states": self.states,
            "draws": [each.as_json() for each in self.draws],
            "draws_in_all": self.draws_in_all,
            "scenario": [{"key": key, "a": one, "b": other} for key, one, other in self.scenario],
            "notes": self.notes,
        }


def chosen_ingredients(only: Sequence[str] = (), ignored: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the ingredients to compare, in their order; raises InputError for unknown ones and where none is left."""
    wrong = []
    for option, names in (("--ingredients", only), ("--ignore", ignored)):
        wrong += [
            f"{option}: '{name}' is no ingredient, give some of {', '.join(INGREDIENTS)}" for name in names if name not in INGREDIENTS
        ]
    if wrong:
        raise InputError(wrong)
    chosen = tuple(name for name in INGREDIENTS if (not only or name in only) and name not in ignored)
    if not chosen:
        raise InputError(f"--ignore: no ingredient is left to compare of {', '.join(only or INGREDIENTS)}")
    return chosen


def first_difference(
    a: Side, b: Side, *, ingredients: Sequence[str] = INGREDIENTS, progress: Callable[[str], None] | None = None
) -> FirstDifference:
    """Return the first difference of two runs in some ingredients of their trails (`marketsim.recording.trail.INGREDIENTS`).

    Runs that can be made again here are played again, cheaply up to the chunk where they part and with every event inside it. `progress`
    is told in words what is done. Raises InputError for runs of blocks of different lengths, and where nothing is there to compare.
    """
    tell = progress or (lambda _: None)
    if a.block_ms != b.block_ms:
        raise InputError(
            f"{b.label}: block_time: {b.block_ms} ms, but {a.block_ms} ms in {a.label}: their heights are not the same moments"
        )
    keys = changed_keys(a.effective, b.effective)
    found = FirstDifference(
        a.label, b.label, ingredients, min(a.blocks, b.blocks), scenario=keys, seeds=(a.seed, b.seed), block_ms=a.block_ms,
        fingerprints=(a.fingerprint, b.fingerprint),
    )  # fmt: skip
    used = _comparable(found, ingredients)
    if not hold_both(a, b):
        why = "users' classes or scripts of one name and other contents, of which one process holds one"
        a, b = replace(a, unlike=[*a.unlike, why]), replace(b, unlike=[*b.unlike, why])
    for side in (a, b):
        if side.unlike:
            found.notes.append(f"{side.label} cannot be played again here, it was made with {'; '.join(side.unlike)}")
    trails = a.trail, b.trail
    if trails[0] is None or trails[1] is None:
        return _without_trails(found, a, b, used, tell)
    found.parted = {name: parting(trails[0], trails[1], name) for name in used}
    ends = [chunk for chunk in found.parted.values() if chunk is not None]
    if not ends:
        return _nothing_parted(found, a, b, used, tell)
    found.chunk = min(ends)
    found.differing = [name for name, chunk in found.parted.items() if chunk == found.chunk]
    _inside(found, a, b, used, tell)
    return found


def _comparable(found: FirstDifference, ingredients: Sequence[str]) -> list[str]:
    """The ingredients that can be compared: what cadences settled stands in other pieces where runs look at other moments."""
    changed = {key for key, _, _ in found.scenario} & set(LOOKED_AFTER)
    if "settlements" in ingredients and changed:
        found.notes.append(f"settlements are left out: {', '.join(sorted(changed))} differ, and with them when cadences are looked at")
        return [name for name in ingredients if name != "settlements"]
    return list(ingredients)


def parting(a: RunTrail, b: RunTrail, ingredient: str) -> Chunk | None:
    """Return the first chunk in which two trails differ in one ingredient, None where they agree as far as both go."""
    column = INGREDIENTS.index(ingredient)
    ends = np.union1d(a.ends, b.ends)
    last = min(a.blocks, b.blocks)
    ends = ends[ends <= last] if a.blocks == b.blocks else ends[(ends <= last) & (ends % TRAIL_BLOCKS == 0)]
    values = []
    for trail in (a, b):
        padded = np.concatenate([np.zeros(1, np.uint32), trail.hashes[:, column]])
        values.append(padded[np.searchsorted(trail.ends, ends, side="right")])
    differ = np.flatnonzero(values[0] != values[1])
    if not len(differ):
        return None
    end = int(ends[differ[0]])
    return chunk_around(end)


def chunk_around(end: int) -> Chunk:
    """Return the first and last block of the chunk that ends with a block."""
    return (0, 0) if end == 0 else ((end - 1) // TRAIL_BLOCKS * TRAIL_BLOCKS + 1, end)


def _nothing_parted(found: FirstDifference, a: Side, b: Side, used: Sequence[str], tell: Callable[[str], None]) -> FirstDifference:
    if a.blocks != b.blocks:
        longer = a if a.blocks > b.blocks else b
        found.notes.append(f"{longer.label} goes on to block {longer.blocks:,}")
        found.differing = ["horizon"]
        return found
    if a.fingerprint == b.fingerprint or set(used) != set(INGREDIENTS):
        found.equal = True
        if a.fingerprint != b.fingerprint:
            found.notes.append("the fingerprints differ: in what was left out, or in what is only counted")
        return found
    found.differing = ["counts"]
    found.notes.append("no trail differs, the fingerprints do: in what is only counted at the end")
    if not (a.unlike or b.unlike) and a.scenario is not None and b.scenario is not None:
        tell("playing both again to the end")
        replays = PlayedAgain(a.scenario, a.seed, streams=False), PlayedAgain(b.scenario, b.seed, streams=False)
        for replay in replays:
            replay.finish()
        found.how = "replay"
        found.states = _counts(*replays)[:OBJECTS_MAX]
    return found


def _inside(found: FirstDifference, a: Side, b: Side, used: Sequence[str], tell: Callable[[str], None]) -> None:
    """Look into the chunk: by a replay, by recorded events, or not at all."""
    assert found.chunk is not None
    if a.unlike or b.unlike or a.scenario is None or b.scenario is None:
        first, last = found.chunk
        if a.folder is not None and b.folder is not None and recorded_difference(found, a.folder, b.folder, used):
            found.how = "recorded events"
            return
        found.notes.append(f"blocks {first:,} to {last:,} are as near as the trails go: no events were recorded (record: everything)")
        return
    streams = bool(found.scenario) or a.seed != b.seed
    tell(f"playing both again up to block {found.chunk[1]:,}")
    replays = PlayedAgain(a.scenario, a.seed, streams=streams), PlayedAgain(b.scenario, b.seed, streams=streams)
    found.how = "replay"
    _search(found, replays, found.chunk, used, (a, b))
    rest = [chunk for name, chunk in found.parted.items() if chunk is not None and name != "states"]
    if found.event is None and found.message is None and found.differing == ["states"] and rest:
        # what differs first is no event: also the first event is named
        later = FirstDifference(found.a, found.b, found.ingredients, found.blocks)
        _search(later, replays, min(rest), [name for name in used if name != "states"], (a, b))
        found.message, found.event = later.message, later.event
        found.states += later.states
        found.notes += later.notes
    for one, other in (replays,):
        if one.draws is not None and other.draws is not None and a.seed == b.seed:
            found.draws, found.draws_in_all = draw_differences(one.draws, other.draws)
    if a.seed != b.seed:
        found.notes.append(f"seeds {a.seed} and {b.seed}: every stream draws differently from its first number on")


def _search(
    found: FirstDifference, replays: tuple[PlayedAgain, PlayedAgain], chunk: Chunk, used: Sequence[str], sides: tuple[Side, Side]
) -> None:
    """Play both runs block by block through a chunk until they part in some ingredients, and describe how."""
    one, other = replays
    if chunk == (0, 0):
        found.height = 0
        found.states = _desk_states(one, other)
        return
    first, end = chunk
    for replay in replays:
        replay.advance(first - 1)
        replay.record()
    columns = {name: getattr(Trail, name) for name in used}
    wait = _longest_wait(one) if "settlements" in used else 0
    noted: tuple[Counter[Any], Counter[Any]] = (Counter(), Counter())
    latest = min(end + wait, *(replay.scenario.horizon_blocks for replay in replays))
    kept: dict[Any, Happened] = {}
    while one.height < latest:
        blocks = one.block(), other.block()
        for block, seen in zip(blocks, noted, strict=True):
            for item in block.items:
                if isinstance(item, Happened) and item.is_noted and first <= item.row[Event.height] <= end:
                    seen[item.content] += 1
                    kept[item.content] = item
        rows = [replay.row_of_chunk(end) for replay in replays]
        differing = [name for name, column in columns.items() if rows[0][column] != rows[1][column]]
        if one.height > end:
            differing = [name for name in differing if name == "settlements"]
        elif "states" in columns and "states" not in differing and one.desks() != other.desks():
            differing.append("states")
        if differing:
            found.differing = differing
            found.height = one.height
            if differing == ["settlements"]:
                _describe_settlement(found, replays, noted, kept, sides)
            else:
                _describe(found, replays, (blocks[0].items, blocks[1].items), differing, sides)
            return
    found.notes.append(
        f"played again here, both agree in blocks {first:,} to {end:,}: what was recorded came of something that the folders do not name"
    )


def _longest_wait(replay: PlayedAgain) -> int:
    """Blocks after which somebody has looked at every account for certain."""
    clock = replay.play.clock
    return int(clock.engine.globals.sample_every) + TRAIL_BLOCKS


def _describe(
    found: FirstDifference,
    replays: tuple[PlayedAgain, PlayedAgain],
    items: tuple[list[Item], list[Item]],
    used: Sequence[str],
    sides: tuple[Side, Side],
) -> None:
    pairs = first_pair(items, used)
    names = [replay.names() for replay in replays]
    if pairs is not None and any(isinstance(item, Said) for item in pairs):
        said = [item if isinstance(item, Said) else None for item in pairs]
        found.message = _message(said, sides)
        rest = tuple([item for item in side if isinstance(item, Happened)] for side in items)
        pairs = first_pair((rest[0], rest[1]), [name for name in INGREDIENTS if name != "messages"])
    if pairs is None:
        found.states = _states_of_message(found, names) or _desk_states(*replays) + _latencies(*replays)
        return
    events = [item if isinstance(item, Happened) else None for item in pairs]
    found.event = {
        side: None if event is None else {"height": event.row[Event.height], "text": event_text(name, event)}
        for side, event, name in zip(("a", "b"), events, names, strict=True)
    }
    if found.message is None:
        found.message = _cause(events, names, sides)
    shown: dict[str, dict[str, Any]] = {}
    for event in events:
        if event is not None:
            kind, also = kind_of_subject(event.kind), also_of(event)
            for entry in side_by_side(*(name.states(kind, event.identity, also) for name in names)):
                shown.setdefault(entry["name"], entry)
    found.states = list(shown.values())[:OBJECTS_MAX]


def first_pair(items: tuple[Sequence[Item], Sequence[Item]], used: Sequence[str]) -> tuple[Item | None, Item | None] | None:
    """Return the first items of two blocks that differ in some ingredients, None on a side that has not the other's; None where none do."""
    keyed = [[(key, item) for item in side if (key := compared(item, used)) is not None] for side in items]
    one, other = keyed
    at = 0
    while at < min(len(one), len(other)) and one[at][0] == other[at][0]:
        at += 1
    if at == len(one) == len(other):
        return None
    if at == len(one):
        return None, other[at][1]
    if at == len(other):
        return one[at][1], None
    mine, theirs = Counter(key for key, _ in one[at:]), Counter(key for key, _ in other[at:])
    a_lacks, b_lacks = theirs[other[at][0]] > mine[other[at][0]], mine[one[at][0]] > theirs[one[at][0]]
    if a_lacks and not b_lacks:
        return None, other[at][1]
    if b_lacks and not a_lacks:
        return one[at][1], None
    return one[at][1], other[at][1]


def _describe_settlement(
    found: FirstDifference,
    replays: tuple[PlayedAgain, PlayedAgain],
    noted: tuple[Counter[Any], Counter[Any]],
    kept: dict[Any, Happened],
    sides: tuple[Side, Side],
) -> None:
    names = [replay.names() for replay in replays]
    only = [sorted(kept_one - kept_other) for kept_one, kept_other in (noted, noted[::-1])]
    if not any(only):
        return
    lowest = min((keys[0][0], keys[0][2]) for keys in only if keys)
    events = [next((kept[key] for key in keys if (key[0], key[2]) == lowest), None) for keys in only]
    found.event = {
        side: None if event is None else {"height": event.row[Event.height], "text": event_text(name, event)}
        for side, event, name in zip(("a", "b"), events, names, strict=True)
    }
    found.height = int(lowest[0])
    found.message = {"op": "none: a settlement of the account's cadence", "by_hand": False, "a": None, "b": None}
    event = next(event for event in events if event is not None)
    found.states = side_by_side(*(name.states("lease", event.identity) for name in names))[:OBJECTS_MAX]
    found.notes.append(f"a cadence's settlements are looked at later, here in block {replays[0].height:,}: the states are those after it")


def _message(said: Sequence[Said | None], sides: tuple[Side, Side]) -> dict[str, Any]:
    """Two messages by hand: where they stand, what they say, how they were answered."""
    first = next(each for each in said if each is not None)
    entries = [
        None
        if each is None
        else {
            "place": each.place,
            "at": side.place_of(each.where),
            "height": each.height,
            "message": {key: value for key, value in each.message.items() if key != "result"},
            "result": each.result,
        }
        for each, side in zip(said, sides, strict=True)
    ]
    return {"op": str(first.message["op"]), "by_hand": True, "a": entries[0], "b": entries[1]}


def _cause(events: Sequence[Happened | None], names: Sequence[Names], sides: tuple[Side, Side]) -> dict[str, Any]:
    """The messages that events came of."""
    causes = [None if event is None else event.cause for event in events]
    if any(cause is not None for cause in causes):
        return _message(causes, sides)
    op = next(op_of(name, event) for name, event in zip(names, events, strict=True) if event is not None)
    return {"op": op, "by_hand": False, "a": None, "b": None}


def _states_of_message(found: FirstDifference, names: Sequence[Names]) -> list[dict[str, Any]]:
    """The states of what a message by hand addresses, where no event of the block differs."""
    if found.message is None:
        return []
    entries = [found.message[side] for side in ("a", "b")]
    states: list[dict[str, Any]] = [{}, {}]
    for at, name in enumerate(names):
        for entry in entries:
            if entry is not None:
                states[at] |= name.states_named(entry["message"])
    return side_by_side(states[0], states[1])[:OBJECTS_MAX]


def _desk_states(one: PlayedAgain, other: PlayedAgain) -> list[dict[str, Any]]:
    """The providers whose bid engines are in different states."""
    states = []
    for replay in (one, other):
        names = replay.names()
        providers = range(int(names.engine.globals.providers))
        states.append({f"provider {names.provider(slot)}": desk_state(names.engine, slot) for slot in providers})
    return [entry for entry in side_by_side(*states) if entry["a"] != entry["b"]][:OBJECTS_MAX]


def _latencies(one: PlayedAgain, other: PlayedAgain) -> list[dict[str, Any]]:
    """Latencies with which other numbers of bids went out."""
    bins = [replay.play.clock.engine.latency for replay in (one, other)]
    differ = np.flatnonzero(bins[0] != bins[1])[:OBJECTS_MAX]
    states = [{"bids by latency": {f"{at} ms": str(int(each[at])) for at in differ.tolist()}} for each in bins]
    return side_by_side(states[0], states[1]) if len(differ) else []


_TRACKED = {"stage": Track.stage, "bids": Track.bids, "ended": Track.ended, "decided at": Track.decided_at}
_PLANNED = {"never chooses": Plan.never, "value": Plan.value, "value, atto": Plan.value_atto}
_COUNTED = {name: getattr(Desk, name) for name in ("submitted", "accepted", "won", "lost", "closed")}
_SIZED = {f"capacity, {name}": getattr(Desk, f"cap_{name}") for name in ("cpu", "memory", "storage", "gpu")}


def _counts(one: PlayedAgain, other: PlayedAgain) -> list[dict[str, Any]]:
    """What of orders and of bid engines is only counted and differs at the end, orders by their creation first."""
    found = []
    for replay in (one, other):
        names = replay.names()
        chain, engine = names.chain, names.engine
        states: dict[str, dict[str, str]] = {}
        count = int(chain.globals.orders)
        for row in np.argsort(np.asarray(chain.orders)[:count, Order.created_at], kind="stable").tolist():
            track = engine.tracks[row]
            state = {key: str(int(track[column])) for key, column in _TRACKED.items()}
            if track.plan >= 0:
                state |= {key: str(int(engine.plans[int(track.plan), column])) for key, column in _PLANNED.items()}
            states[f"order {names.order(row)}"] = state
        for slot in range(int(engine.globals.providers)):
            desk = engine.desks[slot]
            state = {key: str(int(desk[column])) for key, column in (_COUNTED | _SIZED).items()}
            refused = np.flatnonzero(engine.rejected[slot]).tolist()
            state |= {f"refused, status {status}": str(int(engine.rejected[slot, status])) for status in refused}
            states[f"provider {names.wallet(int(chain.providers[slot, Provider.wallet]))}"] = state
        found.append(states)
    return [entry for entry in side_by_side(*found) if entry["a"] != entry["b"]]


def _without_trails(found: FirstDifference, a: Side, b: Side, used: Sequence[str], tell: Callable[[str], None]) -> FirstDifference:
    """What can be said where a folder has no trail: it is made again where it can be."""
    lacking = [side for side in (a, b) if side.trail is None]
    for side in lacking:
        if side.unlike or side.scenario is None:
            if a.fingerprint == b.fingerprint and a.blocks == b.blocks:
                found.equal = True
                found.how = "fingerprints"
                return found
            raise InputError(
                f"{side.label}: trail.csv: the folder has no trail and its run cannot be made again here "
                f"({'; '.join(side.unlike) or 'its files are gone'}), give a folder that `marketsim run` has written"
            )
    from marketsim.experiments.difference.sides import side_of_scenario

    again = []
    for side in (a, b):
        if side.trail is None and side.scenario is not None:
            tell(f"{side.label} has no trail: running it again")
            made = side_of_scenario(side.scenario, side.seed, side.label)
            if made.fingerprint != side.fingerprint:
                raise InputError(f"{side.label}: fingerprint: {side.fingerprint}, but run again here it is {made.fingerprint}")
            side.trail = made.trail
        again.append(side)
    return first_difference(again[0], again[1], ingredients=used, progress=tell)


__all__ = ["FirstDifference", "chosen_ingredients", "first_difference", "parting"]
