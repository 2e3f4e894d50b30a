"""Replay recorded market messages through the chain and compare every answer and the complete change of
state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from marketsim.chain.edge import Chain, result_of
from marketsim.chain.parsing import MessageError
from marketsim.chain.rendering import Changes
from marketsim.conformance.report import Difference, MalformedVectorError, Result, Vector, compare

RULE_SETS = ("virtengine", "akash")


def check(vector: Vector) -> None:
    """Raise MalformedVectorError for a line that is not a sequence of market messages."""
    for key in ("id", "rules", "quirks", "start", "messages"):
        if key not in vector:
            raise MalformedVectorError(key, "missing; a market vector has id, rules, quirks, start and messages")
    if vector["rules"] not in RULE_SETS:
        raise MalformedVectorError("rules", f"{vector['rules']!r} is none of {', '.join(RULE_SETS)}")
    if not isinstance(vector["quirks"], bool):
        raise MalformedVectorError("quirks", f"{vector['quirks']!r} is neither true nor false")
    if not isinstance(vector["start"], dict):
        raise MalformedVectorError("start", "is not a mapping of params, wallets and providers")
    if not isinstance(vector["messages"], list):
        raise MalformedVectorError("messages", "is not a list")
    for number, message in enumerate(vector["messages"]):
        if not isinstance(message, dict):
            raise MalformedVectorError(f"messages[{number}]", "is not a mapping")
        for key in ("height", "op", "result"):
            if key not in message:
                raise MalformedVectorError(f"messages[{number}].{key}", "missing")


def replay(lines: Iterable[Vector], /) -> Iterator[Result]:
    """Answer each line with how many of its messages come out identical: result and everything that
    changed."""
    for line in lines:
        yield replay_sequence(line)


def replay_sequence(line: Vector) -> Result:
    """Replay one sequence from its start; it goes on after a message that differs."""
    sequence, messages = str(line["id"]), line["messages"]
    differences: list[Difference] = []
    identical = 0
    try:
        chain = Chain(line["rules"], line["quirks"], start=line["start"], events=False)
    except MessageError as error:
        raise MalformedVectorError(error.key, error.problem) from None
    changes = Changes(chain)
    for number, message in enumerate(messages):
        try:
            result = result_of(chain.execute(message, message["height"]))
        except MessageError as error:
            raise MalformedVectorError(f"messages[{number}].{error.key}", error.problem) from None
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            raise MalformedVectorError(f"messages[{number}]", f"has a value of the wrong kind ({error})") from None
        found = changes.collect()
        expected: dict[str, Any] = message.get("changed", {})
        if result == message["result"] and found == expected:
            identical += 1
            continue
        differences.extend(compare(sequence, number, "result", message["result"], result))
        for name in sorted(set(expected) | set(found)):
            if expected.get(name) != found.get(name):
                differences.extend(_object_differences(sequence, number, name, expected, found))
    return Result(sequence, len(messages), identical, tuple(differences))


def _object_differences(sequence: str, number: int, name: str, expected: dict[str, Any], found: dict[str, Any]) -> Iterator[Difference]:
    missing = "(unchanged)"
    yield from compare(sequence, number, name, expected.get(name, missing), found.get(name, missing))
