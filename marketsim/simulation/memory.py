"""Keep the memory of a run for the next one in the same process."""

from __future__ import annotations

import ctypes

from marketsim.kernel.table_set import ROOMS

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = (1 << 31) - 1
FROM_HEAP_BYTES = 1 << 25


def keep_memory() -> None:
    """Ask the C library not to give back what is freed: the tables of a run are some dozens of MiB, and a page that the system hands out
    costs more than the page of a run before. Memory of larger tables is kept by `ROOMS`.

    For processes that make run after run. The C library is asked only where it is GNU's (mallopt(3)).
    """
    ROOMS.keeps = True
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(M_MMAP_THRESHOLD, FROM_HEAP_BYTES)
