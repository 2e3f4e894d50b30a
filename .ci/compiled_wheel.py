"""Makes a wheel that carries machine code: `make wheel`. Who installs it needs no compiler, and waits for none.

    python .ci/compiled_wheel.py [--out dist]

Every function that Python calls is compiled by running what calls it: all shipped scenarios, random ones of every rule set and charging,
and random messages. The objects are linked into one library, which goes into the wheel beside an index (`marketsim.kernel.shipped_code`);
numba and scipy become extras of that wheel. It needs gcc, and takes some minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SUPPORT = ROOT / "tests" / "support"
ENTRIES = "--entries"
RANDOM_SCENARIOS, RANDOM_MESSAGES = 300, 20
EXTRA_OF = {"numba": "compile", "scipy": "stats"}
"""Requirements of a wheel that compiles, and the extra that has them in one that need not."""
TAG = "py3-none-linux_x86_64"


def compile_entries() -> None:
    """Run what calls the compiled functions, in this process."""
    sys.path[:0] = [str(ROOT), str(SUPPORT)]
    from outcome_worker import answers_of, outcome_of
    from random_scenarios import scenario_of

    warnings.simplefilter("ignore")
    for number in range(RANDOM_MESSAGES):
        answers_of(number, True)
    for number in range(RANDOM_SCENARIOS):
        outcome_of(scenario_of(number), number % 10 == 0)
    for path in scenarios():
        for rules in ("", "?rules=seed", "?rules=virtengine", "?rules=akash"):
            outcome = outcome_of(f"{path.relative_to(ROOT / 'scenarios')}{rules}?horizon=1d?warm_up=1h", False)
            if not rules and outcome[0] in ("broken", "refused"):
                outcome = outcome_of(str(path.relative_to(ROOT / "scenarios")), True)
                if outcome[0] in ("broken", "refused"):
                    raise SystemExit(f"{path}: {outcome[1]}")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        look_around()
    forget_other_sources(Path(os.environ["MARKETSIM_CACHE"]))


def look_around() -> None:
    """Call what a run does not: looks at a held market, forks, trails, prices and replays of recorded answers."""
    import marketsim as ms
    from marketsim.cli import main
    from marketsim.simulation import run

    with tempfile.TemporaryDirectory() as scratch:
        for name in ("tiny", "small", "virtengine", "akash", "ve-settlement"):
            scenario = str(ROOT / f"scenarios/{name}.yaml")
            run(ms.load_scenario(scenario, overrides={"horizon": "1d", "warm_up": "0h"}), trail=True)
            market = ms.Market(scenario)
            for _ in range(3):
                market.advance("100 blocks")
                view = market.view()
                for kind in ("orders", "bids", "leases", "accounts", "providers", "wallets"):
                    getattr(view, kind)()
                market.state_hash()
            market.fork().finish()
        provider = str(ROOT / "scenarios/providers/training.yaml")
        for command in (
            ["price", provider, "--cpu", "1000m", "--memory", "2Gi", "--storage", "10Gi"],
            ["run", str(ROOT / "scenarios/tiny.yaml"), "--audit", "--quiet", "--out", f"{scratch}/tiny"],
        ):
            if main(command) != 0:
                raise SystemExit(f"marketsim {' '.join(command)} fails")
        for kind in ("escrow", "market", "settlement", "price"):
            files = sorted(map(str, (ROOT / "tests" / "data").glob(f"**/{kind}-*.jsonl*")))
            if files and main(["parity", kind, "--vectors", *files]) not in (0, 1):
                raise SystemExit(f"parity {kind} fails")


def forget_other_sources(cache: Path) -> None:
    """Remove what was compiled of sources that have changed since."""
    from marketsim.kernel.compiled import folder_of
    from marketsim.kernel.shipped_code import WITH_ENTRIES

    used = {folder_of(file) for package in WITH_ENTRIES for file in (ROOT / "marketsim" / package).glob("**/*.py")}
    for folder in cache.iterdir():
        if folder.name not in used:
            shutil.rmtree(folder)


def scenarios() -> Iterator[Path]:
    """Every shipped scenario."""
    folders = {"providers", "sdl", "sweeps"}
    return (path for path in sorted((ROOT / "scenarios").glob("**/*.yaml")) if path.parts[-2] not in folders)


def linked(cache: Path, target: Path) -> dict[str, Any]:
    """Link what a cache holds into `target`, and return the index."""
    sys.path.insert(0, str(ROOT))
    from importlib.metadata import version

    from marketsim.kernel.shipped_code import INDEX, LEVEL, LIBRARY, sources_digest

    entries: dict[str, Any] = {}
    objects = []
    with tempfile.TemporaryDirectory() as scratch:
        for file in sorted(cache.glob("*-portable/*")):
            _, head, code = file.read_bytes().split(b"\n", 2)
            about = json.loads(head)
            entries[about["symbol"]] = about
            objects.append(Path(scratch) / f"{len(objects)}.o")
            objects[-1].write_bytes(code)
        if len(entries) != len(objects):
            raise SystemExit("two objects hold the same entry: the cache holds code of other sources as well")
        target.mkdir(parents=True)
        command = ["gcc", "-shared", "-nostartfiles", "-Wl,--gc-sections", "-Wl,-z,noexecstack", "-o", str(target / LIBRARY)]
        subprocess.run([*command, *map(str, objects), "-lm", "-lc"], check=True)
    subprocess.run(["strip", "--strip-debug", str(target / LIBRARY)], check=True)
    index = {
        "level": LEVEL,
        "numba": version("numba"),
        "sources": sources_digest(),
        "library": hashlib.sha256((target / LIBRARY).read_bytes()).hexdigest(),
        "entries": entries,
    }
    (target / INDEX).write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    return index


def plain_wheel(scratch: Path) -> Path:
    """Build the wheel that everybody builds."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(scratch), str(ROOT)]
    subprocess.run(command, check=True)
    (found,) = scratch.glob("marketsim-*.whl")
    return found


def with_code(plain: Path, code: Path, out: Path) -> Path:
    """Put the machine code into a wheel, and make extras of what it then need not have."""
    unpacked = plain.parent / "unpacked"
    subprocess.run([sys.executable, "-m", "wheel", "unpack", "--dest", str(unpacked), str(plain)], check=True, stdout=subprocess.DEVNULL)
    (tree,) = unpacked.iterdir()
    shutil.copytree(code, tree / "marketsim" / "machine_code")
    (about,) = tree.glob("*.dist-info")
    metadata = about / "METADATA"
    metadata.write_text("".join(leaner(metadata.read_text().splitlines(keepends=True))))
    tags = about / "WHEEL"
    lines = [line for line in tags.read_text().splitlines() if not line.startswith(("Tag:", "Root-Is-Purelib:"))]
    tags.write_text("\n".join([*filter(None, lines), "Root-Is-Purelib: false", f"Tag: {TAG}"]) + "\n\n")
    out.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "wheel", "pack", "--dest-dir", str(out), str(tree)], check=True, stdout=subprocess.DEVNULL)
    return max(out.glob(f"marketsim-*-{TAG}.whl"), key=lambda path: path.stat().st_mtime_ns)


def leaner(lines: list[str]) -> Iterator[str]:
    """The lines of a wheel's metadata without the requirements that extras have as well."""
    for line in lines:
        name, _, rest = line.partition(": ")
        moved = name == "Requires-Dist" and ";" not in rest and any(rest.startswith(package) for package in EXTRA_OF)
        if not moved:
            yield line


def main() -> None:
    """Build it, and say where it lies."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    asked.add_argument("--out", type=Path, default=ROOT / "dist")
    asked.add_argument(ENTRIES, action="store_true", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.entries:
        compile_entries()
        return
    if shutil.which("gcc") is None:
        sys.exit("gcc is missing (Debian: gcc)")
    cache = ROOT / "build" / "portable-code"
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    environment = os.environ | {
        "MARKETSIM_COMPILE": "portable", "MARKETSIM_CACHE": str(cache), "NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "",
    }  # fmt: skip
    print("compiling, some minutes where nothing is kept in build/", flush=True)
    subprocess.run([sys.executable, __file__, ENTRIES], env=environment, check=True)
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch) / "code"
        index = linked(cache, code)
        found = with_code(plain_wheel(Path(scratch)), code, options.out)
    print(f"{found}: {len(index['entries'])} entries, {found.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
