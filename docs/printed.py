"""Keeps what the documentation prints equal to what the commands print: `make readme` runs this file.

A fenced block below a line `<!-- printed: COMMAND -->` holds the standard output of that command, run in the
root of the repository without a terminal. `<!-- printed, first part: COMMAND -->` holds the output up to its
first blank line and `<!-- printed, the rest: COMMAND -->` what follows it. Runs go to a temporary folder, and
the closing line that tells the folder and the wall time is left out.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BLOCK = re.compile(
    r"(?P<head><!-- printed(?P<part>, first part|, the rest)?: (?P<command>marketsim [^\n]*?) -->\n"
    r"\n?```\w*\n)"
    r"(?P<text>.*?)(?P<tail>^```$)",
    re.DOTALL | re.MULTILINE,
)

FIGURES = {"revenue_per_day.png": "baseline-revenue.png", "fill_rate.png": "baseline-fill-rate.png"}
"""Figures of the baseline that the documentation shows, and their names in docs/images/."""

BASELINE = "marketsim run scenarios/baseline.yaml"


def pages() -> list[Path]:
    """Return README.md and every page of docs/, in a fixed order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def commands(page: Path) -> list[str]:
    """Return the commands whose output a page shows, each once."""
    return list(dict.fromkeys(m["command"] for m in BLOCK.finditer(page.read_text(encoding="utf-8"))))


def refreshed(page: Path, folder: Path) -> str:
    """Return a page's text with every printed block replaced by what its command prints; runs go below
    `folder`."""

    def block(match: re.Match[str]) -> str:
        text = _part(output_of(match["command"], folder), match["part"])
        return f"{match['head']}{text}\n{match['tail']}"

    return BLOCK.sub(block, page.read_text(encoding="utf-8"))


@cache
def output_of(command: str, folder: Path) -> str:
    """Return what a command prints on standard output, without trailing blanks; ValueError when it fails.

    Exit code 1 is an answer (an order that no filter lets through), the others are failures.
    """
    words = shlex.split(command)[1:]
    if words[0] == "run" and "--json" not in words:
        words += ["--out", str(folder / f"run-{len(list(folder.iterdir()))}")]
        words += [] if command == BASELINE else ["--no-figures"]
    done = subprocess.run(
        [sys.executable, "-m", "marketsim", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        timeout=900,
        check=False,
    )
    if done.returncode not in {0, 1}:
        raise ValueError(f"{command} exits with {done.returncode}: {done.stderr}")
    lines = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
    if lines and lines[-1].startswith("Results: "):
        lines.pop()
    return "\n".join(lines).strip("\n")


def _part(text: str, part: str | None) -> str:
    if part is None:
        return text
    first, _, rest = text.partition("\n\n")
    return first if part == ", first part" else rest


def main() -> None:
    """Write every page anew, the baseline's figures, and the example of results/."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _example(folder / "example")
        for page in pages():
            text = refreshed(page, folder)
            if text != page.read_text(encoding="utf-8"):
                page.write_text(text, encoding="utf-8")
                print(f"{page.relative_to(ROOT)} is written anew")
        output_of(BASELINE, folder)
        made = next(path.parent for path in folder.glob("*/figures") if (path / "fill_rate.png").is_file())
        images = ROOT / "docs" / "images"
        images.mkdir(exist_ok=True)
        for source, target in FIGURES.items():
            shutil.copyfile(made / "figures" / source, images / target)


def _example(made: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "marketsim", "run", "scenarios/tiny.yaml"),
            *("--record", "everything", "--no-figures", "--quiet", "--out", str(made)),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    manifest = made / "manifest.json"  # names the scenario's folder, which is another on every machine
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(f"{ROOT}{os.sep}", ""), encoding="utf-8")
    target = ROOT / "results" / "example"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made, target)


if __name__ == "__main__":
    main()
