"""Runs other people's programs side by side, each within a time, a number of bytes and a group of processes that ends with it."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple

OUTPUT_MAX = 1 << 16
"""Bytes that a program may print; what it complains of is read to its end, and the first so many bytes are kept."""

_KILLED_SECONDS = 1.0
_LOOK_SECONDS = 0.005
"""How often a process is asked whether it has ended, where the system does not tell (Linux does)."""


class ProcessResult(NamedTuple):
    """What became of a program: its exit code (below zero: the signal), what it printed and the beginning of what it complained of."""

    code: int
    printed: bytes
    complaint: bytes
    is_late: bool
    """It, or a process that it left behind with its output, took longer than it may."""
    is_long: bool
    """It printed more than `OUTPUT_MAX` bytes."""


def run_all(
    starts: Sequence[Callable[[], subprocess.Popen[bytes]]], inputs: Sequence[bytes], *, seconds: float, at_once: int
) -> list[ProcessResult]:
    """Run programs, at most `at_once` side by side, and return what became of each, in their order.

    `starts` make the processes, unbuffered, with pipes and each in a session of its own; `inputs` is what each may read. A program is over
    when it has ended and nobody holds its output any more; after `seconds` it and all of its group are killed, and its pipes are closed
    whoever holds their other ends. However this ends, none of the groups lives on.
    """
    ended: list[ProcessResult | None] = [None] * len(starts)
    waiting = list(range(len(starts)))[::-1]
    running: dict[int, _Running] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    at = waiting.pop()
                    with _Undisturbed():
                        running[at] = _Running(starts[at](), inputs[at], seconds, selector)
                for key, _ in selector.select(min(one.patience() for one in running.values())):
                    key.data()
                for at, one in list(running.items()):
                    if one.is_over():
                        ended[at] = one.end()
                        del running[at]
        finally:
            for one in running.values():
                one.kill()
    return [one for one in ended if one is not None]


class _Undisturbed:
    """As a context: Ctrl-C waits until a process that starts in here is known, else nobody would end it."""

    def __enter__(self) -> None:
        self._came = False
        self._is_on = threading.current_thread() is threading.main_thread()
        self._before = signal.signal(signal.SIGINT, self._note) if self._is_on else None

    def __exit__(self, *_: object) -> None:
        if self._is_on:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)
            if self._came:
                signal.raise_signal(signal.SIGINT)

    def _note(self, *_: object) -> None:
        self._came = True


class _Running:
    """A process, its three pipes and what has come of them."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes, seconds: float, selector: selectors.BaseSelector) -> None:
        self._process = process
        self._given = memoryview(given)
        self._selector = selector
        self._until = time.monotonic() + seconds
        self._printed = bytearray()
        self._complaint = bytearray()
        self._open: set[Any] = set()
        self._watch(process.stdin, selectors.EVENT_WRITE, self._write)
        self._watch(process.stdout, selectors.EVENT_READ, self._read)
        self._watch(process.stderr, selectors.EVENT_READ, self._read_complaint)
        self._handle = _handle_of(process)
        self._has_ended = False
        if self._handle is not None:
            selector.register(self._handle, selectors.EVENT_READ, self._note_end)

    def patience(self) -> float:
        """Seconds after which somebody must look again, whatever the pipes bring."""
        left = max(0.0, self._until - time.monotonic())
        return left if self._handle is not None or self._has_ended else min(left, _LOOK_SECONDS)

    def is_over(self) -> bool:
        """Whether it is done, late, or has printed too much."""
        if self._handle is None and not self._has_ended:
            self._has_ended = self._process.poll() is not None
        still_open = self._open - {self._process.stdin}
        return (self._has_ended and not still_open) or len(self._printed) > OUTPUT_MAX or time.monotonic() >= self._until

    def end(self) -> ProcessResult:
        """Kill what is left of the group, close everything, and return what became of it."""
        is_late = not self._has_ended or bool(self._open - {self._process.stdin})
        code = self.kill()
        for pipe in list(self._open):
            self._close(pipe)
        self._drop_handle()
        is_long = len(self._printed) > OUTPUT_MAX
        return ProcessResult(code, bytes(self._printed[:OUTPUT_MAX]), bytes(self._complaint), is_late and not is_long, is_long)

    def kill(self) -> int:
        """Kill what is left of the group; return the exit code of the process."""
        with suppress(ProcessLookupError, PermissionError):  # nobody of the group is left
            os.killpg(self._process.pid, signal.SIGKILL)  # before it is waited for: until then nobody else can have its number
        try:
            return self._process.wait(_KILLED_SECONDS)
        except subprocess.TimeoutExpired:  # a program of another user's rights is not ours to kill
            return -signal.SIGKILL

    def _watch(self, pipe: IO[bytes] | None, event: int, then: Callable[[], None]) -> None:
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, event, then)
        self._open.add(pipe)

    def _close(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        self._open.discard(pipe)
        pipe.close()

    def _note_end(self) -> None:
        self._has_ended = True
        self._drop_handle()

    def _drop_handle(self) -> None:
        if self._handle is not None:
            self._selector.unregister(self._handle)
            os.close(self._handle)
            self._handle = None

    def _write(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            self._given = self._given[os.write(pipe.fileno(), self._given[: 1 << 16]) :]
        except BlockingIOError:
            return
        except OSError:  # it need not read
            self._given = self._given[:0]
        if not self._given:
            self._close(pipe)

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._printed += self._part(self._process.stdout)

    def _read_complaint(self) -> None:
        assert self._process.stderr is not None
        self._complaint += self._part(self._process.stderr)
        del self._complaint[OUTPUT_MAX:]

    def _part(self, pipe: IO[bytes]) -> bytes:
        try:
            part = os.read(pipe.fileno(), OUTPUT_MAX)
        except BlockingIOError:
            return b""
        if not part:
            self._close(pipe)
        return part


def _handle_of(process: subprocess.Popen[bytes]) -> int | None:
    """Something to wait on for the end of a process, where the system has that (Linux)."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None
