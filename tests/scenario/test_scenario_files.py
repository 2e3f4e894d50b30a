"""Scenario files: everything is read, everything wrong is told at once, hostile files end quickly."""

from __future__ import annotations

import os
import re
import time
import tracemalloc
from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.money.units import ATTO
from marketsim.scenario import Scenario, load_scenario, scenario_from_mapping
from marketsim.scenario.files import kind_of, load_provider
from marketsim.scenario.literals import Duration

DATA = Path(__file__).parents[1] / "data" / "scenario"
PROVIDERS = Path(__file__).parents[2] / "scenarios" / "providers"

SMALL = """\
name: small
horizon: 1h
tenants:
  - name: web
    demand: 12/h
    order: {cpu: 1000, memory: 2Gi, storage: 10Gi}
providers:
  - name: one
    capacity: {cpu: 16000, memory: 64Gi, storage: 1Ti}
"""


def written(tmp_path: Path, text: str | bytes, name: str = "s.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def errors(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_scenario(path, overrides)
    return [line.replace(f"{path.parent}/", "") for line in caught.value.lines]


def test_every_key_of_the_contract_loads() -> None:
    scenario = load_scenario(DATA / "full.yaml")
    assert scenario.block_ms == 6_117
    assert scenario.horizon_blocks == 7 * 86_400_000 // 6_117
    assert scenario.take_ppm == 20_000
    web, batch, manifests = scenario.tenants
    assert web.wallet == 5_000_000_000 * ATTO
    assert web.demand.day_multipliers[0] == pytest.approx(24 / sum(web.demand.day_profile or ()))
    assert web.order.cpu is not None and web.order.cpu.law().b == pytest.approx(1.6226, abs=1e-4)
    assert batch.ceiling is not None and batch.ceiling.per_block is not None
    assert batch.ceiling.per_block.constant == 25 * ATTO
    assert batch.top_up is not None and batch.top_up.when_blocks_left is None
    assert manifests.order.sdl is not None and [item.name for item in manifests.order.sdl] == [
        "web.sdl",
        "second",
    ]
    assert manifests.order.sdl[0].sdl.groups()[0].ceiling == 50 * ATTO
    config = scenario.providers[0].config
    assert config is not None and config.filters.max_cpu == 384_000
    assert config.bid_engine.margin_ppm == 125_000
    assert scenario.providers[1].strategy.kind == "monthly_targets"


def test_the_training_documents_provider_file_loads_verbatim() -> None:
    provider = load_provider(PROVIDERS / "training.yaml")
    engine, filters = provider.bid_engine, provider.filters
    assert (engine.enabled, engine.margin_ppm, engine.max_concurrent_bids) == (True, 100_000, 50)
    assert engine.bid_timeout == Duration(300_000)
    assert (engine.pricing.cpu_millicores, engine.pricing.memory_mb) == (10**12, 10**11)
    assert (engine.pricing.storage_mb, engine.pricing.gpu) == (10**10, 10**15)
    assert filters.min_order_value == ATTO // 100
    assert (filters.max_cpu, filters.max_memory, filters.max_storage) == (64_000, 262_144, 10_485_760)
    assert filters.allowed_regions == ("us-east-1", "eu-west-1")
    assert filters.excluded_attributes == ("gpu-type=nvidia-a100",)


def test_filters_may_be_nested_but_not_twice(tmp_path: Path) -> None:
    nested = "bid_engine:\n  filters:\n    max_cpu: 1000\n"
    assert load_provider(written(tmp_path, nested)).filters.max_cpu == 1000
    with pytest.raises(InputError, match=r"s\.yaml:2:3: bid_engine\.filters: filters stand both"):
        load_provider(written(tmp_path, nested + "filters: {max_cpu: 5}\n"))


def test_all_errors_at_once_each_where_it_stands() -> None:
    lines = errors(DATA / "bad" / "many.yaml")
    found = {line.split(": ")[0] + " " + line.split(": ")[1]: line for line in lines}
    expected = {
        "many.yaml:2:10 horizon": "longer than 0",
        "many.yaml:3:1 tenents": "unknown key, did you mean 'tenants'?",
        "many.yaml:4:13 block_time": "unknown unit 'parsecs'",
        "many.yaml:6:1 order_max_bids": "duplicate key, it stands already in line 5",
        "many.yaml:7:12 gas_price": "negative",
        "many.yaml:8:8 grace": "unknown unit 'parsecs'",
        "many.yaml:12:52 tenants.web.order.gpuu": "unknown key, did you mean 'gpu'?",
        "many.yaml:13:14 tenants.web.ceiling": "19 decimals",
        "many.yaml:14:13 tenants.web.wallet": "unknown unit 'VEE'",
        "many.yaml:15:12 tenants.web.count": "not a number",
        "many.yaml:17:5 providers.bare.capacity": "is missing, write capacity:",
        "many.yaml:20:13 providers.lost.config": "nowhere.yaml does not exist",
        "many.yaml:25:15 providers.wrong.capacity.storage": "is missing",
        "many.yaml:29:9 quirks": "rules: seed does not have quirk 'settle_same_height' (accrual is exact",
        "many.yaml:30:11 charging": "did you mean 'rate'?",
        "many.yaml:31:10 faults.0.lasts": "an outage needs a length",
        "broken_provider.yaml:2:12 bid_engine.enabled": "write true or false",
        "broken_provider.yaml:3:22 bid_engine.min_profit_margin": "negative",
        "broken_provider.yaml:5:5 bid_engine.pricing.cpu_milicores": "did you mean 'cpu_millicores'?",
        "broken_provider.yaml:6:16 bid_engine.pricing.memory_mb": "negative",
        "broken_provider.yaml:8:14 filters.max_cpu": "not a number",
        "broken_provider.yaml:9:27 filters.excluded_attributes.0": "write key=value",
    }
    assert found.keys() == expected.keys()
    for key, words in expected.items():
        assert words in found[key]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "s.yaml: is empty"),
        (b"# only a comment\n", "s.yaml: is empty"),
        (b"---\n", "s.yaml: is empty"),
        (b"\x7fELF\x00\x01\x02\xff", "s.yaml: is a binary file"),
        (b"name: \x00", "s.yaml: is a binary file"),
        ("name: grün\n".encode("latin-1"), r"s.yaml:1:9: byte 0xfc is not UTF-8"),
        (b"- a\n- b\n", "s.yaml:1:1: holds a list, expected a mapping"),
        (b"just words", "s.yaml:1:1: holds a single value"),
        (b"a: [1, 2\nb: 3\n", r"s.yaml:2:\d: not valid YAML"),
        (b"a: 'open\n", r"s.yaml:\d:\d: not valid YAML"),
        (b"a: b: c\n", r"s.yaml:1:5: not valid YAML"),
        (b"a: 1\n--- \nb: 2\n", r"s.yaml:2:1: a second document"),
        (b"a: *nowhere\n", r"s.yaml:1:4: alias '\*nowhere' names no"),
        (b"a: &x [*x]\n", r"s.yaml:1:8: alias '\*x' names no finished anchor"),
        (b"name: !!python/object:os.system x\n" + SMALL[12:].encode(), r"s.yaml:1:\d+: name: tag "),
        (b"a: " + b"[" * 100_000, r"s.yaml:1:\d+: nested deeper than"),
        (b"a: " + b"{b: " * 100_000, r"s.yaml:1:\d+: nested deeper than"),
        (b"a: \x1b[31m\n", "s.yaml: has control characters"),
        (b"{}", "no tenants|is missing"),
        (b"{[1]: 2}", r"s.yaml:1:2: .*keys are words"),
    ],
)
def test_files_that_are_no_scenario(tmp_path: Path, content: bytes, words: str) -> None:
    lines = errors(written(tmp_path, content))
    assert any(re.match(f".*{words}", line) for line in lines), lines
    assert all(line.startswith("s.yaml:") and "\n" not in line for line in lines)


def test_alias_bombs_end_in_bounded_time_and_memory(tmp_path: Path) -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    path = written(tmp_path, "\n".join(layers))
    began = time.perf_counter()
    tracemalloc.start()
    lines = errors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert re.match(r"s.yaml:\d+:\d+: aliases and values expand to more than", lines[0])
    assert time.perf_counter() - began < 5
    assert peak < 64 * 2**20


def test_a_chain_of_aliases_is_as_deep_as_it_expands_to(tmp_path: Path) -> None:
    chain = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 400)]
    assert "nested deeper than" in errors(written(tmp_path, "\n".join(chain)))[0]


def test_thousands_of_errors_are_not_all_told(tmp_path: Path) -> None:
    began = time.perf_counter()
    lines = errors(written(tmp_path, "\n".join(f"k{i}: 1" for i in range(5_000))))
    assert len(lines) == 201 and lines[-1] == "s.yaml: more errors follow, mend these first"
    assert time.perf_counter() - began < 10


def test_a_mapping_bomb_through_merge_keys_ends_too(tmp_path: Path) -> None:
    layers = ["a0: &a0 {k: v}"] + [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 30)]
    assert "expand to more than" in errors(written(tmp_path, "\n".join(layers)))[0]


def test_files_that_are_too_large_or_no_files(tmp_path: Path) -> None:
    assert "larger than 2 MiB" in errors(written(tmp_path, b"# " + b"x" * (5 * 2**20)))[0]
    assert errors(tmp_path)[0].endswith(": is a folder, give the path of a YAML file")
    assert "does not exist" in errors(tmp_path / "none.yaml")[0]
    assert "larger than" in errors(Path("/dev/zero"))[0]
    assert "cannot be read" in errors(tmp_path / ("x" * 300))[0]
    with pytest.raises(InputError, match="cannot be read"):
        load_scenario("nul\0byte.yaml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    path.chmod(0)
    assert "permission denied" in errors(path)[0]


def test_broken_files_that_a_scenario_names_are_told_with_their_own_name(tmp_path: Path) -> None:
    written(tmp_path, "- a list\n", "p.yaml")
    written(tmp_path, "version: '2.0'\nservices: {}\n", "s.sdl.yaml")
    text = SMALL.replace("name: one", "name: one\n    config: p.yaml")
    text = text.replace("order: {cpu: 1000, memory: 2Gi, storage: 10Gi}", "order: {sdl: s.sdl.yaml}")
    lines = errors(written(tmp_path, text))
    assert "p.yaml:1:1: holds a list, expected a mapping of keys and values" in lines
    assert any(line.startswith("s.sdl.yaml:1:1: deployment: deploys no service") for line in lines)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("horizon: 1h", "horizon: 0", r"s\.yaml:2:10: horizon: .*longer than 0"),
        ("horizon: 1h\n", "", r"s\.yaml:1:1: horizon: is missing"),
        ("horizon: 1h", "horizon: 1s", r"s\.yaml:2:10: horizon: '1s' is shorter than one block"),
        ("horizon: 1h", "horizon: 1h\nwarm_up: 1h", r"s\.yaml:3:10: warm_up: '1h' is not before the horizon"),
        ("demand: 12/h", "demand: {arrivals: 1/h, orders: 5}", r"demand\.orders: found arrivals and orders"),
        ("demand: 12/h", "demand: {}", r"demand\.orders: found none of them"),
        (
            "demand: 12/h",
            "demand: {arrivals: 1/h, day_profile: [1, 2]}",
            r"day_profile: has 2 numbers, give 24",
        ),
        (
            "demand: 12/h",
            "demand: {arrivals: 1/h, arrivals_each: 1/h}",
            r"demand\.orders: found arrivals and arrivals_each, give exactly one",
        ),
        ("demand: 12/h", "demand: {arrivals: 1/h, within: 1h}", r"demand\.within: says what orders: is spread over"),
        ("demand: 12/h", "demand: {arrivals: 1/h, normalise: false}", r"demand\.normalise: stands without a profile"),
        ("demand: 12/h", "demand: {arrivals: 1/h, surges: [{at: 1h, lasts: 0, factor: 2}]}", r"surges\.0\.lasts: .*longer than 0"),
        ("demand: 12/h", "demand: {trace: t.csv, bursts: {every: 1h, factor: 2, lasts: 1h}}", r"demand\.bursts: a trace has its own times"),
        ("demand: 12/h", "ceiling: {share_of_value: 1.1}\n    demand: 12/h", r"ceiling\.share_of_value: '1\.1' is above 1"),
        (
            "demand: 12/h",
            "ceiling: {share_of_value: 1, times_cost: 2}\n    demand: 12/h",
            r"share_of_value: give exactly one of share_of_value",
        ),
        ("demand: 12/h", "demand: {trace: nope.csv}", r"demand\.trace: .*nope\.csv does not exist"),
        ("cpu: 1000", "cpu: {uniform: [1, 2], exponential: 3}", r"order\.cpu: found uniform and exponential"),
        ("cpu: 1000", "cpu: {uniform: [3, 2]}", r"order\.cpu: the range runs backwards"),
        ("cpu: 1000", "cpu: {uniform: [3]}", r"order\.cpu\.uniform\.1: has too few values"),
        ("cpu: 1000", "cpu: {choice: {values: [1, 2], weights: [1]}}", r"weights: 1 weights for 2 values"),
        (
            "cpu: 1000",
            "cpu: {lognormal: {median: 5}}",
            r"lognormal\.p99: found none of them, give exactly one",
        ),
        ("cpu: 1000", "cpu: {gaussian: 5}", r"order\.cpu\.gaussian: unknown key"),
        ("memory: 2Gi, ", "", r"order\.memory_per_core: found neither"),
        ("cpu: 1000, ", "", r"order\.cpu: is missing, an order has either"),
        (
            "capacity: {cpu: 16000, memory: 64Gi, storage: 1Ti}",
            "count: 2",
            r"s\.yaml:8:5: providers\.one\.capacity",
        ),
        (
            "storage: 1Ti}",
            "storage: 1Ti}\n    strategy: cost_plus",
            r"strategy: 'cost_plus' needs unit prices",
        ),
        ("storage: 1Ti}", "storage: 1Ti}\n    strategy: cheap", r"'cheap' is not a strategy, strategies are"),
        (
            "storage: 1Ti}",
            "storage: 1Ti}\n    strategy: {script: ./no.sh}",
            r"strategy\.script: .*no\.sh does not exist",
        ),
        (
            "name: small",
            "name: small\nrules: akash\nescrow: exact",
            r"escrow: 'exact' is not an escrow rule of rules: akash",
        ),
        ("name: small", "name: small\nrules: akash\ngrace: 1h", r"grace: escrow: sequential has no grace"),
        ("name: small", "name: small\ntake: 0.0000001", r"take: .* has 7 decimals"),
        ("name: small", "name: small\ntake: 1.5", r"take: '1.5' is above 1"),
        (
            "name: small",
            "name: small\nrules: sneed",
            r"rules: 'sneed' is not accepted, did you mean 'seed'\?",
        ),
        ("name: small", "name: small\nstart: yesterday", r"start: 'yesterday' is not a date"),
        ("name: small", "name: small\nnetwork_fees: no", r"network_fees: 'no' is neither true nor false"),
        ("name: small", "name: small\nmarket: {generator: rm1}", r"tenants: stands beside market"),
        ("name: small", "name: small\nseed: 1.5", r"seed: '1.5' is not a whole number"),
        (
            "name: small",
            "name: small\nfaults: [{at: 1m, provider: one/1, kind: block}]",
            r"'one/1' is not a provider",
        ),
        ("name: small", "name: small\nmessages: [{height: 1, op: bribe}]", r"'bribe' is not a message"),
        ("name: small", "name: small\nmessages: 5", r"messages: '5' is not a list"),
        ("name: small", "name: small\ninitial: .inf", r"initial: '.inf' is not a finite number"),
        ("  - name: web", "  - name: web\n  - name: web", r"tenants\.\d\.demand: is missing"),
        ("tenants:", "providers_:", r"providers_: unknown key, did you mean 'providers'\?"),
    ],
)
def test_one_wrong_value(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in SMALL
    lines = errors(written(tmp_path, SMALL.replace(old, new, 1)))
    assert any(re.search(words, line) for line in lines), lines
    assert all(re.match(r"s\.yaml:\d+:\d+: ", line) for line in lines), lines


def test_cohort_names_must_differ(tmp_path: Path) -> None:
    text = SMALL + "  - name: one\n    capacity: {cpu: 1, memory: 1, storage: 1}\n"
    assert "two cohorts are named 'one'" in errors(written(tmp_path, text))[0]


def test_rule_sets_fill_in_their_own_defaults(tmp_path: Path) -> None:
    seed = load_scenario(written(tmp_path, SMALL))
    assert (seed.charging, seed.escrow, seed.network_fees) == ("usage_capped", "exact", False)
    assert seed.settle_every == Duration(600, in_blocks=True)
    chain = load_scenario(written(tmp_path, SMALL + "rules: virtengine\n"))
    assert (chain.charging, chain.escrow, chain.network_fees, chain.take_ppm) == (
        "rate",
        "sequential",
        True,
        20_000,
    )
    assert chain.settle_every is None and chain.order_timeout is None and chain.grace is None
    assert load_scenario(written(tmp_path, SMALL + "rules: akash\n")).take_ppm == 0


def test_quirks_by_rule_set(tmp_path: Path) -> None:
    def quirks(text: str) -> tuple[str, ...]:
        return load_scenario(written(tmp_path, SMALL + text)).quirks

    assert len(quirks("rules: virtengine\nquirks: all\n")) == 6
    assert len(quirks("rules: akash\nquirks: [all]\n")) == 4
    assert len(quirks("quirks: all\n")) == 4
    assert quirks("quirks: [max_bids_off_by_one]\n") == ("max_bids_off_by_one",)
    for rules, quirk in (
        ("akash", "open_orders_stay"),
        ("akash", "pause_open_order"),
        ("seed", "payment_create_loses"),
    ):
        lines = errors(written(tmp_path, SMALL + f"rules: {rules}\nquirks: [{quirk}]\n"))
        assert re.search(rf"rules: {rules} does not have quirk '{quirk}' \(.+\)", lines[0])


def test_folded_and_literal_texts(tmp_path: Path) -> None:
    text = SMALL + "description: >-\n  one line\n  and another\n"
    assert load_scenario(written(tmp_path, text)).description == "one line and another"
    text = SMALL + "description: |\n  one line\n  and another\n"
    assert load_scenario(written(tmp_path, text)).description == "one line\nand another\n"


def test_anchors_and_merge_keys_are_usable(tmp_path: Path) -> None:
    text = SMALL.replace("  - name: one\n", "  - &one\n    name: one\n") + "  - {<<: *one, name: two, count: 3}\n"
    scenario = load_scenario(written(tmp_path, text))
    assert [(cohort.name, cohort.count) for cohort in scenario.providers] == [("one", 1), ("two", 3)]
    lines = errors(written(tmp_path, text.replace("storage: 1Ti", "storage: -1")))
    assert [line.partition(": ")[0] for line in lines] == ["s.yaml:10:51", "s.yaml:10:51"]


def test_kinds_are_told_by_their_keys() -> None:
    assert kind_of({"bid_engine": {}}) == "provider"
    assert kind_of({"services": {}, "version": "2.0"}) == "sdl"
    assert kind_of({"scenario": "a.yaml", "factors": []}) == "sweep"
    assert kind_of({"horizon": "1d", "name": "x"}) == "scenario"
    assert kind_of({"colour": "red"}) is None


def test_mappings_are_read_without_a_file() -> None:
    mapping = {
        "horizon": "1h",
        "tenants": [
            {
                "name": "w",
                "demand": "1/h",
                "order": {"cpu": 1000, "memory": "1Mi", "storage": "5Mi"},
                "value": "1.5uve",
            }
        ],
        "providers": [{"name": "p", "capacity": {"cpu": 1, "memory": 1, "storage": 1}, "spread": 0.05}],
    }
    scenario = scenario_from_mapping(mapping)
    assert isinstance(scenario, Scenario) and scenario.providers[0].spread == 0.05
    assert mapping["tenants"][0]["demand"] == "1/h"  # type: ignore[index]
    with pytest.raises(InputError, match=r"^scenario: horizon: is missing"):
        scenario_from_mapping({key: value for key, value in mapping.items() if key != "horizon"})


def test_keys_and_values_never_break_a_line(tmp_path: Path) -> None:
    text = SMALL + '"a\\nb": 1\n' + f"{'k' * 500}: 1\n" + 'seed: "1\\n2"\nrules: "\\e[31mred"\n'
    lines = errors(written(tmp_path, text))
    assert len(lines) == 4 and all(line.isprintable() and len(line) < 400 for line in lines), lines
    assert any(line.startswith("s.yaml:10:1: a\\nb: unknown key") for line in lines)
