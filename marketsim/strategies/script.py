"""An operator's own executable price script as a pricing strategy.

The contract of Akash's provider (protocol reference 4.2): the request as JSON on standard input, owner and
denom in the environment, the price on standard output. A non-zero exit is no bid. A script has 10 seconds
and at most 32 run at once; what it leaves behind is ended with it, and 64 KiB of its output are read. A script
that answers at random or by the clock makes the run it serves irreproducible; that is its author's choice.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from marketsim.errors import InputError
from marketsim.money.text import parse_go_decimal
from marketsim.strategies.bounded_process import OUTPUT_MAX, ProcessResult, run_all
from marketsim.strategies.rules import Answer, PriceRequest, Refusal, RefusalCode, script_input, within_ceiling

PROCESS_LIMIT = 32
TIMEOUT_SECONDS = 10.0
_SHOWN_OF_STDERR = 200


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
        return self.price_many([request])[0]

    def price_many(self, requests: Sequence[PriceRequest], /) -> list[Answer]:
        """The same answers as one by one, up to 32 scripts at a time."""
        ended = run_all(
            [partial(self._start, request) for request in requests],
            [script_input(request).encode("utf-8", "replace") for request in requests],
            seconds=self.timeout_seconds,
            at_once=PROCESS_LIMIT,
        )
        return [self._answer(one, request) for one, request in zip(ended, requests, strict=True)]

    def _answer(self, ended: ProcessResult, request: PriceRequest) -> Answer:
        if ended.is_late:
            return Refusal(RefusalCode.SCRIPT_TIMEOUT, f"no price within {self.timeout_seconds:g} s")
        if ended.is_long:
            return Refusal(RefusalCode.SCRIPT_FAILED, f"printed more than {OUTPUT_MAX >> 10} KiB")
        if ended.code != 0:
            lines = ended.complaint.decode("utf-8", "replace").splitlines()
            said = next((line.strip() for line in lines if line.strip()), "")
            return Refusal(RefusalCode.SCRIPT_FAILED, said[:_SHOWN_OF_STDERR] or f"exit {ended.code}")
        printed = ended.printed.decode("utf-8", "replace").strip()
        price = parse_go_decimal(printed)
        if price is None:
            shown = printed[:_SHOWN_OF_STDERR]
            return Refusal(RefusalCode.INVALID_PRICE, f"the script printed {shown!r}, expected one decimal")
        return within_ceiling(price, request)

    def _start(self, request: PriceRequest) -> subprocess.Popen[bytes]:
        named = {"OWNER": request.owner, "DENOM": request.denom}
        variables = {f"{chain}_{key}": text for chain in ("AKASH", "VIRTENGINE") for key, text in named.items()}
        try:
            return subprocess.Popen(
                [str(self.path.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"{self.path}:1:1: script: cannot be started ({error.strerror}), "
                "expected an executable whose first line names its interpreter"
            ) from None
