"""How the functions of the compiled layers run in this process, as the environment variable `MARKETSIM_COMPILE` says."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec

from marketsim.errors import PlainWarning
from marketsim.kernel import shipped_code

_CHOSEN = os.environ.get("MARKETSIM_COMPILE", "1")

CHECKED: bool = _CHOSEN == "checked"
"""True when every index of every table is compared with the table's length before it is used: the same code, slower, for tests."""
PORTABLE: bool = _CHOSEN == "portable"
"""True when what is compiled goes into a wheel: code that can lie anywhere, for more processors than this one."""
HAS_COMPILER: bool = find_spec("numba") is not None


def _can_compile() -> bool:
    if HAS_COMPILER:
        return True
    why = "numba is not installed" if CHECKED or PORTABLE else shipped_code.why_not()
    if why is None:
        return True
    warnings.warn(
        f"{why}: everything runs as plain Python, a hundred times as slow; pip install 'marketsim[compile]' makes code for this machine",
        PlainWarning,
        stacklevel=2,
    )
    return False


COMPILING: bool = _CHOSEN not in {"0", "no", "off", "false"} and _can_compile()
"""True when functions are compiled, or were for the wheel; False when they run as plain Python."""
