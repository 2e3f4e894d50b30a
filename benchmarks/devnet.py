"""How fast a devnet is, beside `marketsim run` of the same scenario in the same minute: until it answers, a week of blocks, 50 clients
together, and by how much its memory grows in a simulated day.

    python benchmarks/devnet.py [--scenario baseline] [--clients 50] [--seconds 60] [--days 10,30,60,90]
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from marketsim.devnet.client import Client
from marketsim.devnet.folder import read_address, secret_of

GROUP = {"name": "web", "resources": [{"price": "1", "count": 1, "cpu": 100, "memory": 2**27, "storage": 2**27, "gpu": 0}]}
DAY, WEEK = 14_400, 100_800


def timed(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "marketsim", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


class Asking(threading.Thread):
    """One client: orders, looks, one after the other, on one connection."""

    def __init__(self, url: str, secret: str, until: float, pace: float) -> None:
        super().__init__()
        place = urlsplit(url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        self._secret, self._until, self._pace = secret, until, pace
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        order = {"op": "create_deployment", "id": "alice", "deposit": "600000", "sources": ["balance"], "groups": [GROUP]}
        body = json.dumps({"signer": "alice", "secret": self._secret, "messages": [order]})
        looks = ("/api/v1/orders?state=open&limit=20", "/api/v1/status", "/api/v1/leases?state=active&limit=20")
        number = 0
        while (now := time.perf_counter()) < self._until:
            number += 1
            if number % 4 == 0:
                self._connection.request("GET", looks[number // 4 % len(looks)])
            else:
                self._connection.request("POST", "/api/v1/messages", body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            text = answer.read()
            spent = time.perf_counter() - now
            self.seconds.append(spent)
            if answer.status != 200:
                self.errors.append(f"{answer.status} {text[:200]!r}")
            time.sleep(max(0.0, self._pace - spent))


def together(client: Client, folder: Path, clients: int, seconds: float, rate: float) -> dict[str, Any]:
    """What `clients` get who ask together, each at its share of `rate` answers a second."""
    secret = secret_of(folder, "devnet", "alice") or ""
    client.faucet("alice", 10**12)
    began = time.perf_counter()
    asking = [Asking(client.url, secret, began + seconds, clients / rate) for _ in range(clients)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    took = sorted(second for each in asking for second in each.seconds)
    errors = [error for each in asking for error in each.errors]
    spent = time.perf_counter() - began
    return {
        "answers a second": len(took) / spent,
        "errors": len(errors),
        "first error": errors[:1],
        "p50 ms": 1e3 * took[len(took) // 2],
        "p99 ms": 1e3 * took[len(took) * 99 // 100],
    }


def grown(client: Client, folder: Path, days: list[int]) -> str:
    """What a devnet takes of memory after so many days, and how much more a day from the first of them to the last."""
    address = read_address(folder)
    assert address is not None
    process, found = psutil.Process(address["pid"]), []
    for day in days:
        began = time.perf_counter()
        client.advance(until=str(max(client.status()["height"], day * DAY)))
        found.append((process.memory_info().rss / 2**20, time.perf_counter() - began))
    told = ", ".join(f"day {day} {mib:.0f} MiB (+{seconds:.1f} s)" for day, (mib, seconds) in zip(days, found, strict=True))
    more = (found[-1][0] - found[0][0]) / max(1, days[-1] - days[0])
    status = Path(f"/proc/{address['pid']}/status")
    peaks = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:")] if status.exists() else []
    peak = f"; at most {peaks[0] / 2**10:.0f} MiB" if peaks else ""
    return f"memory: {told}; growth from day {days[0]} to day {days[-1]}: {more:.2f} MiB a day{peak}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="baseline")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second that the clients make together at most")
    parser.add_argument("--days", default="10,30,60,90", help="simulated days after which memory is looked at; nothing: not at all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "devnet"
        timed(["run", options.scenario, "--no-figures", "--out", f"{scratch}/warm"])
        run = timed(["run", options.scenario, "--no-figures", "--out", f"{scratch}/run"])
        start = timed(["devnet", "start", options.scenario, "--detach", "--speed", "0", "--listen", "127.0.0.1:0", "--dir", str(folder)])
        client = Client.of(folder)
        try:
            began = time.perf_counter()
            client.advance(WEEK)
            week = time.perf_counter() - began
            print(f"marketsim run {options.scenario}: {run:.2f} s")
            print(f"until the devnet answers: {start:.2f} s, {start / run:.2f} of the run")
            print(f"a week of it: {week:.2f} s, {week / run:.2f} of the run", flush=True)
            if options.clients:
                found = together(client, folder, options.clients, options.seconds, options.rate)
                said = ", ".join(f"{name} {value:.0f}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items())
                print(f"{options.clients} clients for {options.seconds:g} s: {said}", flush=True)
            days = [int(day) for day in options.days.split(",") if day]
            if days:
                print(grown(client, folder, days), flush=True)
        finally:
            client.stop()


if __name__ == "__main__":
    main()
