"""How long `import marketsim` takes, beside an import of numpy and an empty process: the best of ten of each, in one run.

    python benchmarks/import_time.py

`import marketsim` loads names only; what one of them needs is loaded when it is first asked for.
"""

from __future__ import annotations

import subprocess
import sys

TIMED = "import time; began = time.perf_counter(); {what}; print(time.perf_counter() - began)"


def best(what: str, times: int = 10) -> float:
    """Return the fewest seconds that a statement takes in a fresh process."""
    return min(
        float(subprocess.run([sys.executable, "-c", TIMED.format(what=what)], capture_output=True, check=True).stdout) for _ in range(times)
    )


def main() -> None:
    """Print seconds and ratios."""
    numpy = best("import numpy")
    for what in ("import marketsim", "import marketsim as ms; ms.load_scenario", "import marketsim as ms; ms.run"):
        seconds = best(what)
        print(f"{what:45} {1000 * seconds:7.1f} ms  x {seconds / numpy:.2f} of import numpy")


if __name__ == "__main__":
    main()
