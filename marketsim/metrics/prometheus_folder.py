"""What a Prometheus needs to show a run: its configuration, the alerting rules and a dashboard, from the package; data by promtool."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

RULES: Final = ("document.yml", "exercise-2.yml")
"""The alerting rules: the training document's thresholds, and those of its second exercise."""
CONFIG, DASHBOARD = "prometheus.yml", "dashboard.json"


def write_configuration(folder: Path) -> None:
    """Write configuration, rules and dashboard into a folder."""
    for name, text in _shipped():
        (folder / name).write_text(text, encoding="utf-8")


def scraping(target: str, token: str | None, every: str) -> str:
    """Return the configuration of a Prometheus that scrapes a devnet at `target` (host:port), which wants `token` unless it is None;
    `every` is the time between scrapes, such as 5s."""
    asks = [] if token is None else ["    authorization:", f"      credentials: {json.dumps(token)}"]
    lines = [
        "# A Prometheus that scrapes a running devnet. Its windows are of the wall clock: at speed 60 a minute is an hour of the market.",
        "global:",
        f"  scrape_interval: {every}",
        f"  scrape_timeout: {every}",
        "  evaluation_interval: 15s",
        "rule_files:",
        *(f"  - {name}" for name in RULES),
        "scrape_configs:",
        "  - job_name: devnet",
        "    metrics_path: /metrics",
        *asks,
        "    static_configs:",
        f"      - targets: [{json.dumps(target)}]",
        "        labels: {instance: devnet}",
    ]
    return "".join(f"{line}\n" for line in lines)


def rule_file(name: str) -> str:
    """Return the text of one of `RULES`."""
    return dict(_shipped())[name]


def dashboard() -> str:
    """Return the dashboard for Grafana, JSON."""
    return dict(_shipped())[DASHBOARD]


def backfill(series: Path, data: Path) -> str | None:
    """Turn an OpenMetrics file into a Prometheus' data with promtool; return what is wrong, None when it is done."""
    program = shutil.which("promtool")
    if program is None:
        return "promtool is not installed (Debian package prometheus)"
    data.mkdir(exist_ok=True)
    # without the longest blocks, which its help does not name, the time grows with the square of the days
    order = [program, "tsdb", "create-blocks-from", "--max-block-duration=744h", "-q", "openmetrics", str(series), str(data)]
    answer = subprocess.run(order, capture_output=True, text=True, check=False)
    return None if answer.returncode == 0 else (answer.stderr.strip().splitlines() or ["promtool failed"])[-1]


def serve_command(folder: Path, retention: str = "--storage.tsdb.retention.time=100y") -> str:
    """Return the command that serves the folder on loopback. Prometheus deletes data older than 15 days unless told otherwise."""
    words = ["prometheus", f"--config.file={folder / CONFIG}", f"--storage.tsdb.path={folder / 'data'}", retention]
    return " ".join([*filter(None, words), "--web.listen-address=127.0.0.1:9090"])


def _shipped() -> Iterator[tuple[str, str]]:
    place = files("marketsim.metrics") / "prometheus"
    for name in (CONFIG, *RULES, DASHBOARD):
        yield name, (place / name).read_text(encoding="utf-8")
