"""`journalctl` and `systemctl` of a devnet, which has one unit: the provider daemon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from marketsim.devnet.words.command_line import Command, Flag, Invocation, RefusedError, help_of, read
from marketsim.devnet.words.execute import CommandOutput
from marketsim.errors import InputError

UNIT = "provider-daemon"
ALL = 20_000
"""Lines that a devnet keeps."""
LOOK_SECONDS = 1.0
"""How often `--follow` looks for new lines."""
_LINES_SHOWN = 10

JOURNALCTL = Command(
    "journalctl",
    "The journal of the devnet's provider daemon.",
    "journal",
    (
        Flag("unit", "strings", (), "u", "provider-daemon"),
        Flag("lines", "string", "", "n", "the last so many, or all"),
        Flag("follow", "bool", False, "f", "go on as lines come"),
        Flag("reverse", "bool", False, "r", "the newest first"),
        Flag("output", "string", "short", "o", "short, or cat: the text only"),
        Flag("no-pager", "bool", False, about="read and not used: there is no pager"),
        Flag("quiet", "bool", False, "q"),
        Flag("pager-end", "bool", False, "e"),
        Flag("boot", "bool", False, "b"),
    ),
    (0, 0),
)
_RELOADS = ("reload", "reload-or-restart", "try-restart")
SYSTEMCTL = Command(
    "systemctl",
    "The devnet's provider daemon.",
    below=(
        Command("restart", "Read provider-config.yaml again", "restart", args=(1, 1), takes=UNIT, aliases=_RELOADS),
        Command("status", "How it stands, and its last lines", "show", args=(1, 1), takes=UNIT),
        Command("is-active", "Whether it runs", "is_active", args=(1, 1), takes=UNIT),
    ),
    persistent=(
        Flag("no-pager", "bool", False),
        Flag("quiet", "bool", False, "q"),
        Flag("user", "bool", False),
        Flag("lines", "string", "", "n"),
    ),
)


class Daemon(Protocol):
    """A devnet, as far as its provider daemon goes."""

    def status(self) -> Mapping[str, Any]:
        """Return where the devnet stands; `provider` is about the daemon."""
        ...

    def journal(self, unit: str = UNIT, n: int = 100) -> list[str]:
        """Return the last lines of its journal."""
        ...

    def reload_provider_config(self) -> Mapping[str, Any]:
        """Let it read its file again. Raises InputError with what is wrong with the file."""
        ...


def journalctl(words: Sequence[str], devnet: Callable[[], Daemon]) -> CommandOutput | Iterator[str]:
    """Carry out the words behind `journalctl`; with --follow what is returned are lines as they come."""
    try:
        invocation = read(JOURNALCTL, words)
        if invocation.wants_help:
            return CommandOutput(help_of(invocation))
        return _journal(invocation, devnet)
    except RefusedError as error:
        return CommandOutput(err=f"journalctl: {error}\n", code=1)
    except InputError as error:
        return CommandOutput(err="".join(f"journalctl: {line}\n" for line in error.lines), code=1)


def _journal(invocation: Invocation, devnet: Callable[[], Daemon]) -> CommandOutput | Iterator[str]:
    flags = invocation.flags
    units = [unit.removesuffix(".service") for unit in flags["unit"]]
    if units and UNIT not in units:
        return CommandOutput("-- No entries --\n", f"note: this devnet has one unit, {UNIT}\n")
    if flags["output"] not in ("short", "cat"):
        raise RefusedError(f"--output={flags['output']} is not simulated, write short or cat")
    count = flags["lines"] or (str(_LINES_SHOWN) if flags["follow"] else "all")
    if count != "all" and not count.removeprefix("+").isdigit():
        raise RefusedError(f"Failed to parse lines '{count}'")
    number = ALL if count == "all" else min(ALL, int(count))
    show: Callable[[str], str] = _text_of if flags["output"] == "cat" else str
    node = devnet()
    if flags["follow"]:
        return _followed(node, number, show)
    lines = [show(line) for line in (node.journal(UNIT, number) if number else [])]
    return CommandOutput("".join(f"{line}\n" for line in (reversed(lines) if flags["reverse"] else lines)) or "-- No entries --\n")


def _text_of(line: str) -> str:
    """A line without its date, host and unit."""
    return line.partition("]: ")[2] or line


def _followed(node: Daemon, number: int, show: Callable[[str], str]) -> Iterator[str]:
    """Lines as they come."""
    known = node.journal(UNIT, ALL)
    yield from map(show, known[-number:] if number else [])
    while True:
        time.sleep(LOOK_SECONDS)
        now = node.journal(UNIT, ALL)
        yield from map(show, now[_continues(known, now) :])
        known = now


def _continues(known: Sequence[str], now: Sequence[str]) -> int:
    """From which line on a journal is new: behind the last lines that were known."""
    if not known:
        return 0
    tail = known[-_TAIL:]
    for end in range(len(now), len(tail) - 1, -1):
        if list(now[end - len(tail) : end]) == list(tail):
            return end
    return 0


_TAIL = 20


def systemctl(words: Sequence[str], devnet: Callable[[], Daemon]) -> CommandOutput:
    """Carry out the words behind `systemctl`."""
    try:
        invocation = read(SYSTEMCTL, words)
        if invocation.wants_help or not invocation.does:
            return CommandOutput(help_of(invocation))
        unit = invocation.args[0]
        if unit.removesuffix(".service") != UNIT:
            raise RefusedError(f"Unit {unit if '.' in unit else f'{unit}.service'} not found; this devnet has {UNIT}.service")
        return _ACTIONS[invocation.does](devnet())
    except RefusedError as error:
        known = ", ".join(each.name for each in SYSTEMCTL.below)
        more = f"; this devnet's systemctl has {known}" if "unknown command" in str(error) else ""
        return CommandOutput(err=f"systemctl: {error}{more}\n", code=1)
    except InputError as error:
        lines = "".join(f"{line}\n" for line in error.lines)
        return CommandOutput(err=f"{lines}Job for {UNIT}.service failed: the daemon goes on with what it had.\n", code=1)


def _restart(node: Daemon) -> CommandOutput:
    receipt = node.reload_provider_config()
    if int(receipt["code"]) != 0:
        return CommandOutput(err=f"Job for {UNIT}.service failed: {receipt['result']}.\n", code=1)
    return CommandOutput()


def _show(node: Daemon) -> CommandOutput:
    status = node.status()
    mine = status["provider"]
    state = "active (running)" if mine["up"] else "failed (the provider is out)"
    lines = [
        f"● {UNIT}.service - provider daemon of {mine['address']}",
        f"     Loaded: loaded (provider-config.yaml of devnet {status['name']})",
        f"     Active: {state} at block {status['height']}, {status['time']}",
        f"     Leases: {mine['active_leases']}; bids {mine['bids_submitted']}, won {mine['bids_won']}, lost {mine['bids_lost']}",
        "",
        *node.journal(UNIT, _LINES_SHOWN),
    ]
    return CommandOutput("".join(f"{line}\n" for line in lines), code=0 if mine["up"] else 3)


def _is_active(node: Daemon) -> CommandOutput:
    is_up = node.status()["provider"]["up"]
    return CommandOutput("active\n" if is_up else "failed\n", code=0 if is_up else 3)


_ACTIONS: Mapping[str, Callable[[Daemon], CommandOutput]] = {"restart": _restart, "show": _show, "is_active": _is_active}

__all__ = ["UNIT", "Daemon", "journalctl", "systemctl"]
