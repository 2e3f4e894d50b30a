"""A difference of two runs as a person reads it: plain lines, and the same as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from marketsim.experiments.difference.draws import DrawDifference
from marketsim.experiments.difference.find import KEYS_MAX, Chunk, FirstDifference

DRAWS_SHOWN: Final = 8
DASH: Final = "–"
_HOUR, _DAY = 3_600_000, 86_400_000


def difference_lines(found: FirstDifference) -> list[str]:
    """Return what `marketsim diff` prints."""
    lines = [f"A  {found.a}, seed {found.seeds[0]}", f"B  {found.b}, seed {found.seeds[1]}", ""]
    for title, body in _sections(found):
        if title:
            lines.append(title)
        lines += [f"  {line}" if title else line for line in body]
        lines.append("")
    return lines[:-1]


def difference_markdown(found: FirstDifference) -> str:
    """Return the same as Markdown."""
    parts = [f"# {found.a} and {found.b}", "", f"- A: `{found.a}`, seed {found.seeds[0]}", f"- B: `{found.b}`, seed {found.seeds[1]}", ""]
    for title, body in _sections(found):
        if not title:
            parts += [f"**{body[0]}**", *body[1:], ""]
        else:
            parts += [f"## {title}", "", "```text", *body, "```", ""]
    return "\n".join(parts)


def _sections(found: FirstDifference) -> list[tuple[str, list[str]]]:
    sections: list[tuple[str, list[str]]] = [("", [_verdict(found)])]
    if found.parted and not found.equal:
        sections.append(("First chunk that differs, by ingredient", _parted(found)))
    if found.message is not None:
        sections.append(("Message", _message_lines(found.message, found.block_ms)))
    if found.event is not None:
        sections.append(("First event that differs", [f"{side.upper()}  {_event(found, side)}" for side in ("a", "b")]))
    if found.states:
        when = "before the first block" if found.height == 0 else f"after block {found.height:,}" if found.height else "at the end"
        sections.append((f"State {when}", _state_lines(found.states)))
    if not found.equal and found.how == "replay" and found.seeds[0] == found.seeds[1]:
        sections.append(("Streams drawn differently", _draw_lines(found)))
    if found.scenario and not found.equal:
        sections.append(("Scenario", _scenario_lines(found)))
    if found.notes:
        sections.append(("Notes", list(found.notes)))
    return sections


def moment(height: int, block_ms: int) -> str:
    """Return a height with its simulated time: `block 14,500, day 2 00:10:00`."""
    time = height * block_ms
    day, rest = divmod(time, _DAY)
    hour, rest = divmod(rest, _HOUR)
    return f"block {height:,}, day {1 + day} {hour:02d}:{rest // 60_000:02d}:{rest % 60_000 // 1000:02d}"


def _verdict(found: FirstDifference) -> str:
    names = ", ".join(found.ingredients)
    if found.equal:
        changed = f", although {_keys(len(found.scenario))} of the scenario differ" if found.scenario else ""
        return f"Equal in {found.blocks:,} blocks: {names}{changed}."
    what = " and ".join(found.differing)
    if found.chunk is None:
        return f"Equal in {found.blocks:,} blocks of trail, different in {what}."
    if found.height is None:
        first, last = found.chunk
        return f"They part between blocks {first:,} and {last:,}, in {what}."
    if found.height == 0:
        return f"They differ before the first block, in {what}."
    before = f"up to block {found.height - 1:,} they agree" if found.height > 1 else "from the first block on"
    return f"They part in {moment(found.height, found.block_ms)}, in {what}; {before}."


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"


def _parted(found: FirstDifference) -> list[str]:
    width = max(map(len, found.parted))
    return [f"{name:<{width}}  {_chunk(chunk)}" for name, chunk in found.parted.items()]


def _chunk(chunk: Chunk | None) -> str:
    if chunk is None:
        return "agree"
    return "before the first block" if chunk == (0, 0) else f"blocks {chunk[0]:,} to {chunk[1]:,}"


def _message_lines(message: Mapping[str, Any], block_ms: int) -> list[str]:
    if not message["by_hand"]:
        return [str(message["op"])]
    lines = []
    for side in ("a", "b"):
        entry = message[side]
        if entry is None:
            lines.append(f"{side.upper()}  sends none here")
            continue
        lines.append(
            f"{side.upper()}  {entry['place']} ({entry['at']}), {moment(entry['height'], block_ms)}: {_arguments(entry['message'])}"
        )
        lines.append(f"   answered {entry['result'] or 'unknown'}")
    both = [message[side] for side in ("a", "b")]
    if all(both):
        one, other = both[0]["message"], both[1]["message"]
        changed = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
        lines += [f"{key}: {_plain(one.get(key))} in A, {_plain(other.get(key))} in B" for key in changed]
    return lines


def _arguments(message: Mapping[str, Any]) -> str:
    rest = [f"{key}={_plain(value)}" for key, value in message.items() if key not in ("op", "height")]
    return " ".join([str(message.get("op")), *rest])


def _plain(value: Any) -> str:
    if value is None:
        return DASH
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 160 else f"{text[:157]}…"


def _event(found: FirstDifference, side: str) -> str:
    assert found.event is not None
    event = found.event[side]
    return "not there" if event is None else f"{moment(event['height'], found.block_ms)}: {event['text']}"


def _state_lines(states: list[dict[str, Any]]) -> list[str]:
    lines = []
    for entry in states:
        a, b = entry["a"], entry["b"]
        if a is None or b is None:
            lines.append(f"{entry['name']}: in {'B' if a is None else 'A'} only")
        elif a == b:
            lines.append(f"{entry['name']}: the same in both")
        else:
            lines.append(f"{entry['name']}:")
        shown = list(dict.fromkeys([*(a or {}), *(b or {})]))
        width = max(map(len, shown), default=0)
        for key in shown:
            one, other = (a or {}).get(key), (b or {}).get(key)
            if a is None or b is None or one == other:
                lines.append(f"    {key:<{width}}  {_plain(one if one is not None else other)}")
            else:
                lines.append(f"  * {key:<{width}}  {_plain(one)} in A, {_plain(other)} in B")
    return lines


def _draw_lines(found: FirstDifference) -> list[str]:
    if not found.draws:
        return ["none"]
    groups: dict[tuple[str, str], list[DrawDifference]] = {}
    for draw in found.draws:
        groups.setdefault(("/".join(draw.stream.split("/")[:2]), draw.purpose), []).append(draw)
    lines = []
    for draws in list(groups.values())[:DRAWS_SHOWN]:
        first, count = draws[0], sum(draw.draws for draw in draws)
        what = f" for {first.purpose}" if first.purpose else ""
        values = [DASH if value is None else f"{value:g}" for value in (first.a, first.b)]
        more = f"; {count:,} draws of {len(draws)} streams like it" if len(draws) > 1 else f"; {count:,} draws" if count > 1 else ""
        lines.append(f"{first.stream}{what}, number {first.index}: {values[0]} in A, {values[1]} in B{more}")
    shown = sum(draw.draws for draws in list(groups.values())[:DRAWS_SHOWN] for draw in draws)
    if found.draws_in_all > shown:
        lines.append(f"… and {found.draws_in_all - shown:,} draws more")
    return lines


def _scenario_lines(found: FirstDifference) -> list[str]:
    lines = [f"{key}: {_plain(one)} in A, {_plain(other)} in B" for key, one, other in found.scenario[:KEYS_MAX]]
    if len(found.scenario) > KEYS_MAX:
        lines.append(f"… and {_keys(len(found.scenario) - KEYS_MAX)} more")
    return lines
