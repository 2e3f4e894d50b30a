"""What `make mutants` prints last: how many mutants the tests kill, module by module, and which they do not.

Called in the folder in which mutmut has run. Mutants that behave like the original are listed, each with the
reason, in tests/data/equivalent_mutants.toml: by function, the line before and the line after, because
mutmut's own numbers change with every edit. Exits with 1 when more than 5 % of the others survive.

    python tests/support/mutants.py          the table and the survivors that are not listed
    python tests/support/mutants.py --rows   the list as it stands in docs/mutation.md
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTED = ROOT / "tests" / "data" / "equivalent_mutants.toml"
LIMIT_PERCENT = 5
KILLED = {1, 2, 3, -11, -9, -24, 24, 36, 37, 152, 255}
"""Exit codes of a test run that noticed: a failure, a module that cannot be imported, a crash, no end."""
MODULES = {Path(path).stem: path for path in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]["only_mutate"]}
"""The mutated files by the name of their module."""

BAR = r"\|"
"""A bar inside a cell of a Markdown table."""

Change = tuple[str, str, str]
"""Function, the lines before, the lines after."""


def listed() -> dict[Change, str]:
    """The equivalent mutants with their reasons."""
    found: dict[Change, str] = {}
    for entry in tomllib.loads(LISTED.read_text("utf-8"))["mutant"]:
        change = entry["function"], entry["before"], entry["after"]
        assert change not in found, f"listed twice: {change}"
        found[change] = entry["reason"]
    return found


def rows() -> list[str]:
    """The list as the rows of a Markdown table."""
    found = []
    for change, reason in listed().items():
        cells = [f"`{cell.replace('|', BAR)}`" for cell in change] + [reason]
        found.append(f"| {' | '.join(cells)} |")
    return found


def spoken(name: str) -> str:
    """The function, or class and method, of mutmut's name for a mutant of it."""
    mangled = name.rpartition(".")[2].partition("__mutmut_")[0]
    return mangled.removeprefix("xǁ").replace("ǁ", ".") if mangled.startswith("xǁ") else mangled.removeprefix("x_")


def outcomes() -> Iterator[tuple[str, dict[str, int | None]]]:
    """Module and exit code by mutant; None for one that was not tried."""
    for module, file in MODULES.items():
        path = Path(f"mutants/{file}.meta")
        yield module, json.loads(path.read_text("utf-8"))["exit_code_by_key"]


def surviving() -> Iterator[tuple[str, str, Change]]:
    """Module, mutmut's name and the change of each mutant that no test noticed."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    for module, results in outcomes():
        for name, code in results.items():
            if code is not None and code not in KILLED:
                lines = get_diff_for_mutant(name, path=MODULES[module]).splitlines()[2:]
                before, after = ("\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
                yield module, name, (f"{module}.{spoken(name)}", before, after)


def main() -> int:
    """Print the survivors and the table; 1 when too many survive or one was not tried."""
    reasons = listed()
    mutants = {module: sum(code is not None for code in results.values()) for module, results in outcomes()}
    untried = sum(code is None for _, results in outcomes() for code in results.values())
    survived: Counter[str] = Counter()
    equivalent: Counter[str] = Counter()
    used: set[Change] = set()
    for module, name, change in surviving():
        if change in reasons:
            equivalent[module] += 1
            used.add(change)
        else:
            survived[module] += 1
            print(f"survived and not listed: {name}\n    - {change[1]}\n    + {change[2]}")
    for function, before, after in sorted(reasons.keys() - used):
        print(f"listed as equivalent, but killed or gone: {function}\n    - {before}\n    + {after}")
    print(f"{'module':<18} {'mutants':>8} {'killed':>8} {'equivalent':>11} {'survived':>9} {'of the others':>14}")
    for module, number in [*mutants.items(), ("all", sum(mutants.values()))]:
        same, alive = (c.total() if module == "all" else c[module] for c in (equivalent, survived))
        percent = 100 * alive / max(1, number - same)
        print(f"{module:<18} {number:>8} {number - same - alive:>8} {same:>11} {alive:>9} {percent:>12.2f} %")
    if untried:
        print(f"{untried} mutants were not tried: mutmut was interrupted")
    return int(untried > 0 or 100 * survived.total() > LIMIT_PERCENT * (sum(mutants.values()) - equivalent.total()))


if __name__ == "__main__":
    if "--rows" in sys.argv:
        print(*rows(), sep="\n")
        sys.exit(0)
    sys.exit(main())
