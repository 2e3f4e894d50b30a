"""Loads much code at once, in a process that others are forked from or that will draw: with the garbage collector at rest, which finds
nothing in what is being loaded and takes a twelfth of the time looking."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def much_code() -> Iterator[None]:
    """Within this context no garbage is collected; afterwards the collector passes over what is there by then, for good."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
