"""How the functions of the compiled layers run in this process, as the environment variable `MARKETSIM_COMPILE` says."""

from __future__ import annotations

import os

_CHOSEN = os.environ.get("MARKETSIM_COMPILE", "1")

COMPILING: bool = _CHOSEN not in {"0", "no", "off", "false"}
"""True when functions are compiled; False when they run as plain Python."""
CHECKED: bool = _CHOSEN == "checked"
"""True when every index of every table is compared with the table's length before it is used: the same code, slower, for tests."""
