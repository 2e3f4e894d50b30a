"""Extreme numbers and missing values anywhere in a scenario: it runs or is refused in place; the memory of a run is told beforehand."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketsim import cli
from marketsim.errors import InputError
from marketsim.money.units import GIB
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.scenario.footprint import VARIABLE, estimate

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "scenarios"
MANY = int(os.environ.get("MARKETSIM_EXTREMES", "150"))
SECONDS = 60
"""A run that takes longer is ended: what is asked for may be a long run, and no other end than by that is allowed."""

WHOLE: dict[str, Any] = {
    "name": "extremes",
    "seed": 1,
    "horizon": "3h",
    "warm_up": "30m",
    "block_time": "6s",
    "settle_every": "100 blocks",
    "usage_every": "100 blocks",
    "usage_grace": "1h",
    "grace": "1h",
    "order_timeout": "100 blocks",
    "bid_window": "10 blocks",
    "take": 0.02,
    "bid_min_deposit": "1uve",
    "deployment_min_deposit": "1uve",
    "order_max_bids": 5,
    "gas_price": "0.025uve",
    "withdraw_every": "1h",
    "initial": 0.2,
    "tenants": [
        {
            "name": "t",
            "count": 5,
            "wallet": "5000VE",
            "demand": {"arrivals": "20/h", "day_profile": [1] * 24, "week_profile": [1] * 7,
                       "bursts": {"every": "1h", "factor": 2, "lasts": "5m"}},
            "order": {"cpu": {"lognormal": {"median": 2000, "sigma": 0.5}}, "memory_per_core": {"uniform": ["1Gi", "2Gi"]},
                      "storage": {"choice": {"values": ["5Gi", "9Gi"], "weights": [1, 2]}}, "gpu": 0},
            "ceiling": {"times_cost": {"uniform": [1.2, 4]}},
            "value": {"times_cost": 1.5},
            "duration": {"lognormal": {"median": "1h", "p90": "3h"}},
            "terminate_after": {"exponential": {"mean": "2h"}},
            "patience": "100 blocks",
            "choice": {"score": {"price": 1, "uptime": 0.5}},
            "never_choose": 0.1,
            "deposit": {"price_blocks": 700},
            "top_up": {"when_blocks_left": 10, "blocks": 100, "times": 2, "probability": 0.5, "delay": "1m"},
            "deploy_delay": {"normal": {"mean": "1m", "sd": "10s"}},
            "restart": {"probability": 0.5, "delay": "1m"},
            "utilization": {"uniform": [0.2, 0.9]},
            "react": {"retry": 1, "raise_ceiling": 1.2},
        }
    ],
    "providers": [
        {
            "name": "p",
            "count": 3,
            "wallet": "100VE",
            "strategy": "monthly_targets",
            "capacity": {"cpu": 16000, "memory": "64Gi", "storage": "1Ti", "gpu": 1},
            "overcommit": {"cpu": 1.5},
            "spread": 0.1,
            "lease_capacity": 50,
            "latency": {"lognormal": {"median": "2s", "p95": "9s"}},
            "rate_limit": {"per_minute": 10, "per_hour": 100},
            "repricing": {"every": "1h", "high": 0.8, "low": 0.3, "up": 1.05, "down": 0.95, "min": 0.5, "max": 2},
            "leave": {"mean": "20h"},
            "outages": {"every": "9h", "lasts": "5m", "closes": 0.5},
        }
    ],
    "faults": [{"at": "1h", "provider": "p/0", "kind": "outage", "lasts": "10m"}],
    "governance": [{"height": 50, "op": "set_params", "params": {"order_max_bids": 4}}],
    "calibration": {"fill_rate": [0.5, 0.9], "within": 0.1},
    "report": {"monthly_blocks": 429909},
}  # fmt: skip

ODD = (
    0, 1, -1, 2, 1e-300, 1e300, -1e300, 1e9, 1_000_000, 1e15, 2**31, 2**53, 2**62, 2**63, 2**64, 10**40, 0.5, 1e-9, "1e999", "nan", "inf",
    None, True, "", "x", [], {}, [None], "0", "1ms", "36500d", "36600d", "1 blocks", "100000000 blocks", "1s", "1e9/s", "1000000000/s",
    "0/s", "4Ei", "8Ei", "1", "9000000000000000000uve", "9000000000000VE", "0.000000000000000001uve", "0uve", "1..2", "2..1", "0..36500d",
    {"uniform": [0, 2**53]}, {"constant": None}, {"normal": {"mean": 1, "sd": 2**53}}, {"lognormal": {"median": 1, "sigma": 50}},
    {"lognormal": {"median": "1ms", "p99": "36500d"}}, {"exponential": {"mean": 1e9}}, {"choice": {"values": [0, 2**53]}},
    {"choice": {"values": [1, 2], "weights": [1e-300, 1e9]}}, {"constant": 5, "min": 7}, {"uniform": ["1uve", "9000000000000VE"]},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def odd_scenario(number: int) -> tuple[dict[str, Any], list[str]]:
    """A scenario with one value or two out of the way, and which."""
    chance = random.Random(f"extremes/{number}")
    data = copy.deepcopy(WHOLE)
    data["record"] = chance.choice(("summary", "orders", "everything"))
    data["rules"] = chance.choice(("seed", "seed", "virtengine", "akash"))
    data["charging"] = chance.choice(("rate", "usage_capped", "usage"))
    if data["rules"] != "seed":
        data["charging"] = "rate"
        del data["settle_every"], data["grace"]
    changed = []
    for _ in range(chance.choice((1, 1, 2))):
        path = chance.choice([path for path in places(data) if path[0] not in ("name", "record", "rules", "charging")])
        value = chance.choice(ODD)
        holder = data
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
        changed.append(f"{'.'.join(map(str, path))} = {value!r}")
    return data, changed


def ending_of(data: dict[str, Any], folder: Path) -> tuple[int | None, str]:
    """Run a scenario in a process of its own: its exit code (None: it was still running), and what it said."""
    (folder / "scenario.yaml").write_text(json.dumps(data))
    said = folder / "said"
    child = os.fork()
    if child == 0:
        with said.open("w") as stream:
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            sys.stdout = sys.stderr = stream
            try:
                resource.setrlimit(resource.RLIMIT_AS, (6 * GIB, 6 * GIB))
                code = cli.main(["run", str(folder / "scenario.yaml"), "--quiet", "--no-figures", "--out", str(folder / "out")])
                stream.flush()
            except BaseException as error:
                stream.write(repr(error))
                stream.flush()
                code = 99
            os._exit(code)
    until = time.monotonic() + SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), said.read_text(errors="replace")
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, "was still running"
        time.sleep(0.01)


def test_extremes_run_or_are_refused_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "300Mi")
    assert ending_of(WHOLE, tmp_path) == (0, "")
    refused, wrong = 0, []
    for number in range(MANY):
        folder = tmp_path / str(number)
        folder.mkdir()
        data, changed = odd_scenario(number)
        code, said = ending_of(data, folder)
        refused += code == 2
        if code not in {0, 2, None} or "Warning" in said or (code == 2 and f"{folder / 'scenario.yaml'}:" not in said):
            wrong.append(f"{number}: {changed}: {code}: {said[-400:]}")
    assert not wrong, "\n".join(wrong)
    assert refused > MANY // 4


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("order_max_bids=10000000", "order_max_bids"),
        ("horizon=36500d", "horizon"),
        ("tenants.web.count=9007199254740992", "tenants.web.count"),
        ("tenants.web.demand={orders: 9007199254740992}", "tenants.web.demand.orders"),
        ("tenants.web.demand.arrivals=1000000000/s", "tenants.web.demand.arrivals"),
        ("tenants.web.demand.bursts={every: 1ms, factor: 2, lasts: 1ms}", "tenants.web.demand.bursts.every"),
        ("providers.large.count=100000000", "providers.large.count"),
        ("initial=1", "initial"),
    ],
)
def test_what_takes_too_much_is_refused_before_anything_is_made(setting: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    more = {"initial": ["providers.large.count=4000"], "horizon": ["block_time=1ms", "warm_up=0"], "providers.large.count": ["initial=0"]}
    with pytest.raises(InputError, match=rf"^--set: {key}: a run would take about [\d.,]+ GiB of memory, .* accepted up to 8 GiB"):
        load_scenario(SCENARIOS / "small.yaml", [*more.get(key, ()), setting])


def test_the_place_in_the_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SCENARIOS / "tiny.yaml").read_text()
    assert "\norder_max_bids" not in text
    file = tmp_path / "scenario.yaml"
    file.write_text("order_max_bids: 1e7\nname: x\nhorizon: 1h\n" + CAST)
    assert cli.main(["validate", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"{file}:1:17: order_max_bids: a run would take about 95.")
    assert cli.main(["validate", str(file), "--memory", "100Gi"]) == 0
    os.environ.pop(VARIABLE)
    assert cli.main(["validate", str(file), "--memory", "much"]) == 2
    assert "--memory: 'much' is not a size" in capsys.readouterr().err
    os.environ.pop(VARIABLE)


CAST = """
tenants: [{name: t, demand: 1/h, order: {cpu: 100, memory: 1Gi, storage: 5Gi}}]
providers: [{name: p, strategy: monthly_targets, capacity: {cpu: 1000, memory: 4Gi, storage: 9Gi}}]
"""


@pytest.mark.parametrize("key", ["utilization", "duration", "deposit", "patience", "count", "order.cpu", "top_up.times"])
def test_null_is_no_number(key: str) -> None:
    with pytest.raises(InputError, match=rf"^scenario: tenants\.t\.{key}"):
        data = copy.deepcopy(WHOLE)
        holder = data["tenants"][0]
        *path, last = key.split(".")
        for part in path:
            holder = holder[part]
        holder[last] = None
        scenario_from_mapping(data)


@pytest.mark.parametrize("name", ["名前", "-rf", "a" * 81, "7", "", "a b", "a.b", "a/b", "x\n", "é"])
def test_names_are_the_same_in_code_and_schema(name: str) -> None:
    data = WHOLE | {"name": name}
    with pytest.raises(InputError, match="is not a name, write up to 80 of the letters"):
        scenario_from_mapping(data)
    pattern = json.loads((ROOT / "docs" / "schema" / "scenario.json").read_text())["properties"]["name"]["pattern"]
    assert re.fullmatch(pattern, name) is None
    for good in ("a", "_x", "7up", "web-1_b", "A" * 80):
        assert scenario_from_mapping(WHOLE | {"name": good}).name == good and re.fullmatch(pattern, good)


MEASURE = """
import resource, sys
from pathlib import Path
from marketsim.scenario import load_scenario
from marketsim.scenario.footprint import estimate
from marketsim.simulation import run
scenario = load_scenario(sys.argv[1], sys.argv[2:])
run(scenario)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
status = Path("/proc/self/status")  # of this program alone: ru_maxrss begins with what the process that started it held
for line in status.read_text().splitlines() if status.is_file() else ():
    if line.startswith("VmHWM:"):
        peak = int(line.split()[1]) << 10
print(estimate(scenario).total, peak)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in other units")
@pytest.mark.parametrize(
    "arguments",
    [
        *([path.name] for path in sorted(SCENARIOS.glob("*.yaml"))),
        ["small.yaml", "initial=0", "tenants.0.demand.arrivals=2000/h"],
        ["small.yaml", "initial=0.3", "providers.0.count=60"],
        ["small.yaml", "initial=0", "tenants.0.count=1000000"],
    ],
    ids=" ".join,
)
def test_the_estimate_is_within_twice_what_a_run_takes(arguments: list[str]) -> None:
    command = [sys.executable, "-c", MEASURE, str(SCENARIOS / arguments[0]), *arguments[1:]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told, taken = map(int, done.stdout.split())
    assert taken / 2 < told < taken * 2


def test_an_estimate_follows_what_is_asked_for() -> None:
    few = estimate(scenario_from_mapping(WHOLE))
    many = estimate(scenario_from_mapping(WHOLE | {"horizon": "300h"}))
    assert few.total < many.total and many.key == ("tenants", 0, "demand", "arrivals")
