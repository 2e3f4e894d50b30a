"""One `marketsim run` of the reference market in a process of its own: what it takes from the command to the last page of its report.

    python benchmarks/whole_run.py ORDERS LEVEL

prints one line of JSON: `orders`, `record`, `seconds` (processor time of the process), `wall_seconds`, `peak_mib` (the most memory that
it held), `results_mib` (all files), `orders_reported` (of summary.json), `tables` (rows by table, of manifest.json) and `reported` (the
summary counts every order, its money is conserved, and the report and each table that LEVEL asks for are there).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

BLOCKS, PROVIDERS, TENANTS = 432_000, 100, 1_000
KEPT = {
    "summary": (),
    "orders": ("orders", "leases", "settlements"),
    "everything": ("orders", "leases", "settlements", "bids", "declines", "events"),
}
"""Tables of which rows are asked for, by level of `record:`."""
PARQUET_ALONE = frozenset({"declines"})
"""Tables that have no CSV (results/README.md)."""


def whole_run(orders: int, level: str) -> dict[str, Any]:
    """Run this module in a new process; return what it prints. Raises CalledProcessError when it fails."""
    command = [sys.executable, str(Path(__file__).resolve()), str(orders), level]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(printed)
    return found


def scenario_text(orders: int, level: str) -> str:
    """Return the scenario: the switches of docs/reference-market.md."""
    return f"""\
name: rm1
horizon: {BLOCKS} blocks
charging: rate
take: 0
bid_min_deposit: 0uve
deployment_min_deposit: 0uve
order_max_bids: 500
reserve: at_acceptance
tie: provider_index
price_rounding: floor
settle_every: 100 blocks
grace: 100 blocks
order_timeout: 11 blocks
network_fees: false
record: {level}
market: {{generator: rm1, orders: {orders}, providers: {PROVIDERS}, tenants: {TENANTS}, agents: batch}}
"""


def peak_mib() -> int:
    """Return the most memory that this process has held, MiB.

    Where the system tells it, that of the program alone: ru_maxrss begins with what the process that started this one held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


def reported(out: Path, orders: int, level: str) -> dict[str, Any]:
    """Return what stands in a results folder, and whether it is all that was asked for."""
    summary = json.loads((out / "summary.json").read_text())
    rows = json.loads((out / "manifest.json").read_text())["tables"]
    whole = summary["orders"]["created"] == orders and summary["conserved"]
    whole &= all(rows.get(name, 0) > 0 and (out / f"{name}.parquet").exists() for name in KEPT[level])
    whole &= all((out / f"{name}.csv").exists() for name in KEPT[level] if name not in PARQUET_ALONE)
    whole &= all((out / name).exists() for name in ("report.html", "report.md"))
    return {"orders_reported": summary["orders"]["created"], "tables": rows, "reported": bool(whole)}


def main() -> None:
    """Run, look at the results, and print the line."""
    from marketsim.cli import run as command

    orders, level = int(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "rm1.yaml", Path(folder) / "out"
        file.write_text(scenario_text(orders, level))
        begun = time.perf_counter()
        command.run(file, out=out, quiet=True)
        taken = {
            "seconds": time.process_time(),
            "wall_seconds": time.perf_counter() - begun,
            "peak_mib": peak_mib(),
            "results_mib": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) // 2**20,
        }
        print(json.dumps({"orders": orders, "record": level} | taken | reported(out, orders, level)))


if __name__ == "__main__":
    main()
