"""Orders out of manifests in a run: their coin, what a script reads of them, and every key of the strategies that price them."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.money.text import format_amount, parse_atto
from marketsim.money.units import ATTO
from marketsim.scenario.load import load_scenario
from marketsim.simulation.run import Run, run
from marketsim.strategies.requests import allocated
from marketsim.strategies.rules import GpuModel, ResourceUnit
from marketsim.strategies.script import OperatorScript

VECTORS = Path(__file__).parents[1] / "data" / "vectors" / "sdl-script-prices.jsonl.gz"

MANIFEST = """
version: "2.0"
endpoints: {gate: {kind: ip}}
services:
  web:
    image: web
    expose: [{port: 80, to: [{global: true}]}, {port: 443, to: [{global: true, ip: gate}]}]
    params: {storage: {disk: {mount: /disk}, flash: {mount: /flash}, fast: {mount: /fast}}}
  train: {image: train}
profiles:
  compute:
    web:
      resources:
        cpu: {units: 1.5}
        memory: {size: 500M}
        storage:
          - {size: 10Gi}
          - {name: disk, size: 20Gi, attributes: {persistent: true, class: beta1}}
          - {name: flash, size: 30Gi, attributes: {persistent: true, class: beta2}}
          - {name: fast, size: 40Gi, attributes: {persistent: true, class: beta3}}
    train:
      resources:
        cpu: {units: 2}
        memory: {size: 1Gi}
        storage: {size: 5G}
        gpu: {units: 2, attributes: {vendor: {nvidia: [{model: h100}, {model: a100, ram: 81920Mi}]}}}
  placement:
    here:
      pricing: {web: {denom: DENOM, amount: 5000.5}, train: {denom: DENOM, amount: 9000}}
deployment:
  web: {here: {profile: web, count: 3}}
  train: {here: {profile: train, count: 1}}
"""

SCENARIO = """
name: manifests
horizon: 2h
record: everything
MORE
tenants:
  - name: web
    count: 2
    wallet: 100000VE
    demand: {orders: 4}
    order: {sdl: m.yaml}
    deposit: {blocks: 9000}
    duration: 1h
providers:
  - name: edge
    strategy: STRATEGY
    capacity: {cpu: 64000, memory: 256Gi, storage: 9Ti, gpu: 16}
    attributes:
      capabilities/gpu/vendor/nvidia/model/a100: "true"
      capabilities/gpu/vendor/nvidia/model/a100/ram/80Gi: "true"
      capabilities/storage/1/class: beta1
      capabilities/storage/1/persistent: "true"
      capabilities/storage/2/class: beta2
      capabilities/storage/2/persistent: "true"
      capabilities/storage/3/class: beta3
      capabilities/storage/3/persistent: "true"
"""


def written(folder: Path, strategy: str, *, denom: str = "uve", more: str = "", manifest: str = MANIFEST) -> Path:
    (folder / "m.yaml").write_text(manifest.replace("DENOM", denom))
    (folder / "s.yaml").write_text(SCENARIO.replace("STRATEGY", strategy).replace("MORE", more))
    return folder / "s.yaml"


def script(folder: Path, body: str) -> str:
    path = folder / "price.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return "{script: price.sh}"


def prices(result: Run) -> set[str]:
    bids = result.record.bids
    assert bids is not None
    return {format_amount(int(w) * ATTO + int(a)) for w, a in zip(bids["price_whole"], bids["price_atto"], strict=True)}


def price(folder: Path, strategy: str, **others: Any) -> Fraction:
    (found,) = prices(run(load_scenario(written(folder, strategy, **others))))
    return Fraction(found)


# ---------------------------------------------------------------------- scripts


def test_a_script_that_looks_closely_bids(tmp_path: Path) -> None:
    """It wants its coin in the environment and in one line of compact JSON, endpoints, addresses, classes and the card that is given."""
    strategy = script(
        tmp_path,
        'read -r line\n[ "$AKASH_DENOM" = uakt ] || exit 1\n[ "$AKASH_OWNER" = web-0 ] || [ "$AKASH_OWNER" = web-1 ] || exit 1\n'
        'for part in \'"gpu":{"units":0,"attributes":{}}\' \'"endpoint_quantity":3,"ip_lease_quantity":1\' '
        '\'{"class":"beta3","size":42949672960}\' \'"gpu":{"units":2,"attributes":{"vendor":{"nvidia":{"model":"a100","ram":"80Gi"}}}}\' '
        '\'"price":{"denom":"uakt","amount":"24001.500000000000000000"},"price_precision":6}\'\ndo\n'
        '  case "$line" in *"$part"*) ;; *) echo "no $part" >&2; exit 1 ;; esac\ndone\necho 1234.5',
    )
    result = run(load_scenario(written(tmp_path, strategy, denom="uakt")))
    assert prices(result) == {"1234.5"}
    assert result.summary["orders"]["leased"] == 4


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ("echo 'not today' >&2; echo 'nor tomorrow' >&2; exit 3", "script_failed", "not today"),
        ("exit 4", "script_failed", "exit 4"),
        ("exit 0", "invalid_price", "the script printed ''"),
        ("echo 0", "invalid_price", "the price is not above zero"),
        ("echo cheap", "invalid_price", "the script printed 'cheap'"),
    ],
)
def test_a_failure_has_its_own_code_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, code: str, reason: str
) -> None:
    path = written(tmp_path, script(tmp_path, body))
    out = tmp_path / "out"
    assert main(["run", str(path), "--no-figures", "--quiet", "--out", str(out)]) == 0
    declined = json.loads((out / "summary.json").read_text())["bids"]["declined"]
    assert declined == {name: 4 if name == code else 0 for name in declined} and code in declined
    capsys.readouterr()
    assert main(["explain", str(out), "#0"]) == 0
    told = capsys.readouterr().out
    assert f"not bid, {code} (" in told and f"edge-0: {reason}" in told


def test_a_late_script_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketsim.simulation.custom.OperatorScript", lambda path: OperatorScript(path, timeout_seconds=0.1))
    summary = run(load_scenario(written(tmp_path, script(tmp_path, "sleep 5; echo 1")))).summary
    assert summary["bids"]["declined"]["script_timeout"] == 4


def test_codes_of_scripts_are_shown_where_scripts_are(tmp_path: Path) -> None:
    declined = run(load_scenario(written(tmp_path, "monthly_targets"))).summary["bids"]["declined"]
    assert len(declined) == 10 and "script_failed" not in declined


# ---------------------------------------------------------------------- the built-in strategies


def test_a_run_asks_what_the_published_script_asks(tmp_path: Path) -> None:
    """Five manifests of the vectors, with every class of volume, addresses and cards among them, through a whole run."""
    with gzip.open(VECTORS, "rt", encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    asked = [line for line in lines if line["price"] is not None]
    chosen = [
        next(line for line in asked if part in line["request"])
        for part in ('"beta1"', '"beta2"', '"beta3"', '"ip_lease_quantity":1', '"model":"t4"', '"size":5000000000')
    ]
    for line in chosen:
        targets = {key.lower(): value for key, value in line["targets"].items()}
        mappings = dict(pair.split("=") for pair in line["gpu_mappings"].split(",") if pair)
        strategy = json.dumps({"monthly_targets": targets | {"gpu_mappings": mappings}})
        path = written(tmp_path, strategy, manifest=line["sdl"])
        models = '      capabilities/gpu/vendor/nvidia/model/{m}: "true"\n'
        text = path.read_text().replace("cpu: 64000", "cpu: 640000")
        for model in ("t4", "h100", "rtx4090"):
            for more in ("", "/ram/80Gi", "/interface/pcie", "/ram/80Gi/interface/sxm"):
                text += models.format(m=model + more)
        for more in ("/interface/pcie", "/ram/80Gi/interface/sxm"):
            text += models.format(m="a100" + more)
        path.write_text(text)
        assert prices(run(load_scenario(path))) == {format_amount(parse_atto(line["price"]))}, line["id"]


BASE = "{monthly_targets: {gpu_mappings: {a100: 1000}}}"

MOVES = [
    # 429,909 blocks a month; per key what a unit of it adds to the price of this order in USD a month
    ("cpu: 2.6", Fraction(65, 10)),  # a dollar more on 3 x 1.5 + 2 threads
    ("memory: 1.8", Fraction(3 * 500_000_000, 1 << 30) + 1),
    ("hd_ephemeral: 1.02", Fraction(30) + Fraction(5_000_000_000, 1 << 30)),
    ("hd_pers_hdd: 1.01", Fraction(60)),
    ("hd_pers_ssd: 1.03", Fraction(90)),
    ("hd_pers_nvme: 1.04", Fraction(120)),
    ("endpoint: 1.05", Fraction(3)),
    ("ip: 6", Fraction(1)),
]


@pytest.mark.parametrize(("key", "usd"), MOVES, ids=[key for key, _ in MOVES])
def test_every_target_acts_in_a_run(tmp_path: Path, key: str, usd: Fraction) -> None:
    before = price(tmp_path, BASE)
    after = price(tmp_path, BASE.replace("{gpu", f"{{{key}, gpu"))
    assert abs(after - before - usd * 1_000_000 / 429_909) < Fraction(1, 10**5)


@pytest.mark.parametrize(
    ("mappings", "usd"),
    [
        ("{a100: 1000}", 1000),
        ("{a100.80Gi: 1100, a100: 1000}", 1100),
        ("{a100.80Gi.sxm: 1200, a100: 1000}", 1000),
        ("{h100: 2000, a100: 1000}", 1000),
        ("{h100: 2000}", 2000),
        ("{t4: 60}", 100),
    ],
)
def test_the_model_of_the_card_that_is_given_sets_its_price(tmp_path: Path, mappings: str, usd: int) -> None:
    """The order takes an h100 or an a100 of 80 GiB, and the provider has a100s; what nobody lists costs the dearest, at least `gpu`."""
    free = price(tmp_path, "{monthly_targets: {gpu: 0, gpu_mappings: {a100: 0}}}")
    asked = price(tmp_path, f"{{monthly_targets: {{gpu_mappings: {mappings}}}}}")
    assert abs(asked - free - Fraction(2 * usd * 1_000_000, 429_909)) < Fraction(1, 10**5)


def test_the_price_of_unlisted_cards_acts(tmp_path: Path) -> None:
    step = price(tmp_path, "{monthly_targets: {gpu: 300}}") - price(tmp_path, "{monthly_targets: {gpu: 200}}")
    assert abs(step - Fraction(2 * 100 * 1_000_000, 429_909)) < Fraction(1, 10**5)


def test_mappings_act_on_orders_by_sizes_too(tmp_path: Path) -> None:
    def asked(strategy: str) -> Fraction:
        path = written(tmp_path, strategy)
        order = "{cpu: 1000, memory: 2Gi, storage: 10Gi, gpu: 1, gpu_model: nvidia-a100}"
        path.write_text(path.read_text().replace("{sdl: m.yaml}", f"{order}\n    ceiling: 9000uve"))
        (found,) = prices(run(load_scenario(path)))
        return Fraction(found)

    plain, listed = asked("monthly_targets"), asked("{monthly_targets: {gpu_mappings: {a100: 350}}}")
    assert abs(listed - plain - Fraction(250 * 1_000_000, 429_909)) < Fraction(1, 10**5)
    assert asked("{monthly_targets: {gpu_mappings: {t4: 60}}}") == plain


@pytest.mark.parametrize(
    ("key", "steps"),
    [
        ("cpu: 1.004uve", 6500),
        ("storage: 1.00016uve", 3 * 102_400 + Fraction(5_000_000_000, 1 << 20)),
        ("endpoint: 2uve", 3),
        ("ip: 61uve", 1),
    ],
)
def test_every_scale_acts_in_a_run(tmp_path: Path, key: str, steps: Fraction | int) -> None:
    more = MANIFEST.replace("5000.5", "500000")
    before = price(tmp_path, "scale", manifest=more)
    assert abs(price(tmp_path, f"{{scale: {{{key}}}}}", manifest=more) - before - steps) < Fraction(1, 10**9)


def test_spread_and_repricing_act_on_what_a_manifest_asks(tmp_path: Path) -> None:
    path = written(tmp_path, BASE)
    plain = price(tmp_path, BASE)
    path.write_text(path.read_text().replace("    strategy", "    spread: 0.3\n    strategy"))
    (spread,) = prices(run(load_scenario(path)))
    path.write_text(path.read_text().replace("spread: 0.3", "repricing: {every: 10m, high: 1, low: 0.9, down: 0.5, min: 0.5}"))
    repriced = {Fraction(text) for text in prices(run(load_scenario(path)))}
    half = Fraction(int(plain * 500_000 + Fraction(1, 2)), 1_000_000)
    assert Fraction(spread) != plain and half in repriced and repriced <= {plain, half}


# ---------------------------------------------------------------------- coins


def test_a_coin_without_a_rate_validates_and_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "monthly_targets", denom="uusdc")
    assert main(["validate", str(path), str(tmp_path / "m.yaml")]) == 0
    capsys.readouterr()
    assert main(["run", str(path), "--no-figures", "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "pays in uusdc" in told and "add rates: {uusdc: 1}" in told and f"{path}:" in told
    assert not (tmp_path / "out").exists()


def test_a_coin_is_kept_and_worth_its_rate(tmp_path: Path) -> None:
    strategy = script(tmp_path, 'read -r line; case "$line" in *\'"denom":"uusdc","amount":"24001.5\'*) echo 10 ;; *) exit 1 ;; esac')
    result = run(load_scenario(written(tmp_path, strategy, denom="uusdc", more="rates: {uusdc: 2.5}")))
    assert prices(result) == {"25"}
    orders = result.record.orders
    assert {(int(w), int(a)) for w, a in zip(orders["ceiling_whole"], orders["ceiling_atto"], strict=True)} == {(60_003, 75 * 10**16)}


def test_equal_coins_need_no_rate_and_change_nothing(tmp_path: Path) -> None:
    runs = {denom: run(load_scenario(written(tmp_path, "monthly_targets", denom=denom))) for denom in ("uve", "uakt")}
    assert runs["uve"].summary["fingerprint"] == runs["uakt"].summary["fingerprint"]


def test_the_market_s_own_coin_is_worth_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rates: uve is the market's own coin and worth 1"):
        load_scenario(written(tmp_path, "monthly_targets", more="rates: {uve: 2}"))
    with pytest.raises(InputError, match=r"rates: uakt is the market's own coin"):
        load_scenario(written(tmp_path, "monthly_targets", more="rules: akash\nrates: {uakt: 2}"))
    with pytest.raises(InputError, match=r"'k' is not the name of a coin"):
        load_scenario(written(tmp_path, "monthly_targets", more="rates: {k: 2}"))
    for wrong in ("0", "-1", "much"):
        with pytest.raises(InputError, match=r"rates\.uusdc"):
            load_scenario(written(tmp_path, "monthly_targets", more=f"rates: {{uusdc: {wrong}}}"))


@pytest.mark.parametrize(("rules", "coin"), [("seed", "uve"), ("virtengine", "uve"), ("akash", "uakt")])
def test_orders_by_sizes_are_in_the_markets_coin(tmp_path: Path, rules: str, coin: str) -> None:
    strategy = script(tmp_path, f'[ "$AKASH_DENOM" = {coin} ] && echo 1')
    path = written(tmp_path, strategy, more=f"rules: {rules}")
    order = "{cpu: 1000, memory: 2Gi, storage: 10Gi}\n    ceiling: 9000uve"
    path.write_text(path.read_text().replace("{sdl: m.yaml}", order))
    assert prices(run(load_scenario(path))) == {"1"}


# ---------------------------------------------------------------------- the card that a provider gives


A100, H100, T4 = (GpuModel("nvidia", model) for model in ("a100", "h100", "t4"))
ANY = GpuModel("nvidia", "*")


@pytest.mark.parametrize(
    ("asked", "own", "given"),
    [
        ((A100,), (), (A100,)),
        ((A100,), (H100,), (A100,)),
        ((A100, H100), (H100, A100), (H100,)),
        ((A100, H100), (T4, A100), (A100,)),
        ((ANY,), (T4, A100), (T4,)),
        ((ANY, A100), (A100, T4), (A100,)),
        ((GpuModel("nvidia", "a100", "80Gi"), H100), (GpuModel("nvidia", "a100", "40Gi"), H100), (H100,)),
        ((GpuModel("nvidia", "a100", "80Gi"), H100), (GpuModel("nvidia", "a100", "80Gi", "sxm"),), (GpuModel("nvidia", "a100", "80Gi"),)),
        ((GpuModel("nvidia", "*", "80Gi"),), (GpuModel("nvidia", "h100", "80Gi"),), (GpuModel("nvidia", "h100", "80Gi"),)),
    ],
)
def test_the_card_that_is_given(asked: tuple[GpuModel, ...], own: tuple[GpuModel, ...], given: tuple[GpuModel, ...]) -> None:
    (unit,) = allocated((ResourceUnit(cpu=1000, gpu=1, gpu_models=asked),), own)
    assert unit.gpu_models == given


def test_what_is_read_past_is_said_by_validate_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "monthly_targets", manifest=MANIFEST.replace("image: train", "image: train, restart: always"))
    note = f"{tmp_path / 'm.yaml'}:9:25: services.train.restart: is read past, the chain's parser knows no such key"
    assert main(["validate", str(path)]) == 0
    assert f"  note: {note}" in capsys.readouterr().out
    assert main(["validate", "--json", str(tmp_path / "m.yaml")]) == 0
    assert json.loads(capsys.readouterr().out)[0]["notes"] == [note]
    assert main(["run", str(path), "--no-figures", "--out", str(tmp_path / "out")]) == 0
    assert f"note: {note}" in capsys.readouterr().err


def test_the_report_says_what_coins_are_worth(tmp_path: Path) -> None:
    path = written(tmp_path, "monthly_targets", denom="uakt")
    assert main(["run", str(path), "--no-figures", "--quiet", "--out", str(tmp_path / "out")]) == 0
    assert "manifests pay in uakt: 1 uakt is 1 uve (by default)" in (tmp_path / "out" / "report.md").read_text()
    path = written(tmp_path, "monthly_targets")
    assert main(["run", str(path), "--no-figures", "--quiet", "--out", str(tmp_path / "own")]) == 0
    assert "manifests pay in" not in (tmp_path / "own" / "report.md").read_text()
