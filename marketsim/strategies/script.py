"""An operator's own executable price script as a pricing strategy.

The contract of Akash's provider (protocol reference 4.2): the request as JSON on standard input, owner and
denom in the environment, the price on standard output. A non-zero exit is no bid. A script has 10 seconds
and at most 32 run at once. A script that answers at random or by the clock makes the run it serves
irreproducible; that is its author's choice.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from marketsim.errors import InputError
from marketsim.money.text import parse_go_decimal
from marketsim.strategies.rules import Answer, PriceRequest, Refusal, RefusalCode, script_input, within_ceiling

PROCESS_LIMIT = 32
TIMEOUT_SECONDS = 10.0
_SHOWN_OF_STDERR = 200

_places = threading.BoundedSemaphore(PROCESS_LIMIT)


@dataclass(frozen=True, slots=True)
class OperatorScript:
    """A price script at `path`; where it fails, is late or prints no price, the answer is a refusal."""

    path: Path
    timeout_seconds: float = TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        """Raises InputError unless `path` is an executable file and the time limit is above zero."""
        if not self.path.is_file():
            raise InputError(f"{self.path}:1:1: script: no such file, expected an executable price script")
        if not os.access(self.path, os.X_OK):
            raise InputError(f"{self.path}:1:1: script: is not executable, expected `chmod +x` on it")
        if self.timeout_seconds <= 0:
            raise InputError(f"{self.path}:1:1: script: the time limit must be above zero seconds")

    def price(self, request: PriceRequest, /) -> Answer:
        """Run the script once. Raises InputError where it cannot be started (a bad first line)."""
        with _places:
            process = self._start(request)
            try:
                printed, complaint = process.communicate(script_input(request), timeout=self.timeout_seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                return Refusal(RefusalCode.SCRIPT_TIMEOUT, f"no price within {self.timeout_seconds:g} s")
        if process.returncode != 0:
            said = next((line.strip() for line in complaint.splitlines() if line.strip()), "")
            reason = said[:_SHOWN_OF_STDERR] or f"exit {process.returncode}"
            return Refusal(RefusalCode.SCRIPT_FAILED, reason)
        price = parse_go_decimal(printed.strip())
        if price is None:
            shown = printed.strip()[:_SHOWN_OF_STDERR]
            return Refusal(RefusalCode.INVALID_PRICE, f"the script printed {shown!r}, expected one decimal")
        return within_ceiling(price, request)

    def price_many(self, requests: Sequence[PriceRequest], /) -> list[Answer]:
        """The same answers as one by one, up to 32 scripts at a time."""
        if len(requests) < 2:
            return [self.price(request) for request in requests]
        with ThreadPoolExecutor(min(PROCESS_LIMIT, len(requests))) as pool:
            return list(pool.map(self.price, requests))

    def _start(self, request: PriceRequest) -> subprocess.Popen[str]:
        named = {"OWNER": request.owner, "DENOM": request.denom}
        variables = {f"{chain}_{key}": text for chain in ("AKASH", "VIRTENGINE") for key, text in named.items()}
        try:
            return subprocess.Popen(
                [str(self.path.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"{self.path}:1:1: script: cannot be started ({error.strerror}), "
                "expected an executable whose first line names its interpreter"
            ) from None


def _end(process: subprocess.Popen[str]) -> None:
    """End the script and whatever it started: a child of its own would keep the pipes open."""
    with suppress(ProcessLookupError):  # it may have ended by itself in the meantime
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
