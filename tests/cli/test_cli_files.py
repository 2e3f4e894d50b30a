"""The command line itself: help, versions, exit codes, errors in plain lines; `validate` and `schema`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from marketsim import cli
from marketsim.cli import main
from marketsim.errors import InputError, InvariantError
from marketsim.face.files import schema_of
from marketsim.scenario import Scenario, scenario_from_mapping
from marketsim.scenario.key_list import keys_in
from marketsim.scenario.providers import ProviderCohort
from marketsim.scenario.tenants import TenantCohort

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "scenario"
SCHEMAS = ROOT / "docs" / "schema"
TRAINING = ROOT / "scenarios" / "providers" / "training.yaml"

Shell = pytest.CaptureFixture[str]


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "marketsim", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from marketsim.cli import main; main(['--help']);"
        "heavy = {'numpy', 'numba', 'pandas', 'scipy', 'matplotlib', 'pyarrow', 'simpy', 'pydantic'};"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "HEAVY []" in found.stdout and "validate" in found.stdout


def test_help_answers_at_once() -> None:
    process("--help")
    times = []
    for _ in range(3):
        began = time.perf_counter()
        assert process("--help").returncode == 0
        times.append(time.perf_counter() - began)
    empty = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    bare = time.perf_counter() - empty
    assert min(times) < 0.4 + 5 * bare


def test_version_names_rule_sets_and_what_a_fingerprint_depends_on(capsys: Shell) -> None:
    assert main(["--version"]) == 0
    out = capsys.readouterr().out.splitlines()
    starts = [
        "marketsim ",
        "rules seed: ",
        "rules virtengine: ",
        "rules akash: ",
        "numpy ",
        "numba ",
        "python ",
    ]
    assert [line.startswith(start) for line, start in zip(out, starts, strict=True)] == [True] * len(starts)


def test_bad_usage_is_two_plain_lines(capsys: Shell) -> None:
    for arguments in (["frobnicate"], ["price", "--frobnicate"], ["validate"], ["schema"]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == 2
        assert err.splitlines()[1].startswith("try 'marketsim")
    assert main([]) == 2
    assert "Usage: marketsim" in capsys.readouterr().err


class _Fails:
    """A command module whose command raises what it is given."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def register(self, app: typer.Typer) -> None:
        def fail() -> None:
            raise self.error

        app.command("fail")(fail)
        app.command("other")(lambda: None)


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            InputError(["a.yaml:1:2: x: wrong, right", "b: wrong, right"]),
            2,
            ["a.yaml:1:2: x: wrong, right", "b: wrong, right"],
        ),
        (typer.Exit(1), 1, []),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (InvariantError("3 uve too many"), 3, ["broken invariant: 3 uve too many", None]),
        (OSError(28, "No space left on device", "out.parquet"), 2, ["out.parquet: No space left on device"]),
        (ZeroDivisionError("division\nby zero"), 3, ["unexpected ZeroDivisionError: division by zero", None]),
    ],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: Shell, error: BaseException, code: int, lines: list[str | None]) -> None:
    monkeypatch.delenv("MARKETSIM_DEBUG", raising=False)
    monkeypatch.setitem(sys.modules, "marketsim.cli.fails", _Fails(error))  # type: ignore[arg-type]
    monkeypatch.setattr(cli, "COMMANDS", ("not_there", "fails"))
    assert main(["fail"]) == code
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    found = err.splitlines()
    assert len(found) == len(lines)
    assert all(want is None or want == have for want, have in zip(lines, found, strict=True))


def test_a_module_that_breaks_while_it_loads_is_not_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Shell) -> None:
    (tmp_path / "breaks.py").write_text("import surely_not_installed\n")
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    monkeypatch.setattr(cli, "COMMANDS", ("breaks",))
    assert main(["--version"]) == 3
    assert "surely_not_installed" in capsys.readouterr().err


def test_a_broken_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        found = subprocess.run(
            [sys.executable, "-m", "marketsim", "schema", "scenario"],
            cwd=ROOT, stdout=closed, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert found.stderr == "" and found.returncode == 0


def test_long_lines_are_never_wrapped() -> None:
    name = "x" * 180
    found = process("validate", name, env={**os.environ, "COLUMNS": "40", "TERM": "xterm-256color", "FORCE_COLOR": "1"})
    assert found.returncode == 2 and found.stdout == ""
    assert found.stderr == f"{name}: does not exist, give the path of a YAML file\n"


def test_validate_says_ok_or_every_error(capsys: Shell) -> None:
    good = [str(DATA / "full.yaml"), str(TRAINING), str(ROOT / "scenarios/sdl/web.yaml")]
    assert main(["validate", *good]) == 0
    out, err = capsys.readouterr()
    assert all(": warning: " in line for line in err.splitlines()) and [line.split(": ")[0] for line in out.splitlines()] == good
    assert [line.split("(")[1].split(":")[0] for line in out.splitlines()] == ["scenario", "provider", "sdl"]
    bad = str(DATA / "bad" / "many.yaml")
    assert main(["validate", good[0], bad, "nowhere.yaml"]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and len([line for line in err.splitlines() if ": warning: " not in line]) == 23
    assert f"{bad}:2:10: horizon: " in err and "nowhere.yaml: does not exist" in err
    assert main(["validate", "--quiet", *good]) == 0
    assert capsys.readouterr() == ("", "")


def test_validate_as_json(capsys: Shell) -> None:
    assert main(["validate", "--json", str(TRAINING), "nowhere.yaml"]) == 2
    results = json.loads(capsys.readouterr().out)
    assert [(result["ok"], result["kind"]) for result in results] == [(True, "provider"), (False, None)]
    assert results[1]["errors"] == ["nowhere.yaml: does not exist, give the path of a YAML file"]


MARKET = """\
horizon: 1d
tenants:
  - name: web
    demand: 1/h
    order: {cpu: CPU, memory: 1Gi, storage: 1Gi, gpu: GPU}
    terminate_after: 1h
providers:
  - {name: north, count: 2, capacity: {cpu: {uniform: [1000, 4000]}, memory: 8Gi, storage: 1Ti, gpu: 2}, regions: [east, west]}
  - {name: south, nodes: [{count: 2, cpu: 2000, memory: 8Gi, storage: 1Ti}], attributes: {tier: gold}}
"""
NORTH, SOUTH = "north has at most 4,000 millicores", "south has at most 4,000 millicores"


def warned(capsys: Shell, tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "market.yaml"
    path.write_text(text)
    assert main(["validate", str(path)]) == 0
    return [line.removeprefix(f"{path}:") for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("cpu", "gpu", "more", "told"),
    [
        ("4000", "0", "", None),
        ("{exponential: 9000}", "0", "", None),
        ("{exponential: 9000, min: 5000}", "0", "", f"5,000 millicores, 1,024 MiB of memory, 1,024 MiB of storage: {NORTH}; {SOUTH}"),
        ("3000", "0", "region: mars", "region=mars: north has no region=mars; south has no region=mars"),
        ("3000", "0", "region: west", None),
        ("3000", "0", "region: {choice: [west, mars]}", "region=mars: north has no region=mars; south has no region=mars"),
        ("3000", "0", "attributes: {tier: gold}", "tier=gold: north has no tier=gold; south has no machine on which a unit of it fits"),
        ("1000", "0", "signed_by: {all_of: [eve]}", "signed by eve: north has not been signed by its auditors; south has not been"),
        ("1000", "3", "", "3 GPUs: north has at most 2 GPUs; south has at most 0 GPUs"),
        ("1000", "{choice: [0, 3]}", "", None),
        ("1000", "{choice: [0, 1]}", "gpu_model: nvidia-a100", "vendor/nvidia/model/a100=true: north has no capabilities/gpu/vendor"),
        ("1000", "0", "gpu_model: nvidia-a100", None),
    ],
)
def test_validate_says_which_orders_nobody_can_ever_serve(
    capsys: Shell, tmp_path: Path, cpu: str, gpu: str, more: str, told: str | None
) -> None:
    text = MARKET.replace("CPU", cpu).replace("GPU}", f"{gpu}, {more}}}" if more else f"{gpu}}}")
    lines = [line for line in warned(capsys, tmp_path, text) if "serve" in line]
    if told is None:
        assert lines == []
    else:
        assert len(lines) == 1 and lines[0].startswith("5:12: tenants.web.order: warning: no provider can ever serve an order of ")
        assert told in lines[0]


def test_validate_says_which_keys_no_run_looks_at(capsys: Shell, tmp_path: Path) -> None:
    text = MARKET.replace("CPU", "1000").replace("GPU", "0").replace("terminate_after: 1h", "patience: 5m") + "gas_price: 1uve\n"
    assert warned(capsys, tmp_path, text) == [
        "6:15: tenants.web.patience: warning: no run looks at it, orders end by `order_timeout`; patience is for rule sets without one",
        "10:12: gas_price: warning: no run looks at it, `network_fees: false` charges no gas",
    ]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("mine:Mine", None),
        ("mine:made", None),
        ("mine:Other", "module mine has no Other, it has Mine"),
        ("package.inner:Deep", None),
        ("package.inner:Deeper", "module package.inner has no Deeper, it has Deep"),
        ("package.outer:Deep", "there is no module package.outer in "),
        ("nobody:Mine", "there is no module nobody in "),
        ("starred:Whatever", None),
        ("broken:Mine", "give a module that Python can read"),
        ("json:JSONDecoder", None),
        ("json:Nothing", "module json has no Nothing, it has JSONDecoder, "),
        ("unheard_of", "'unheard_of' names no strategy, write module:Class"),
    ],
)
def test_validate_finds_classes_and_runs_nothing_of_them(capsys: Shell, tmp_path: Path, spec: str, told: str | None) -> None:
    stop = "raise SystemExit('this was imported')\n"
    (tmp_path / "mine.py").write_text(stop + "class Mine:\n    pass\nmade = Mine()\n")
    (tmp_path / "starred.py").write_text(stop + "from mine import *\n")
    (tmp_path / "broken.py").write_text("class Mine\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text(stop)
    (tmp_path / "package" / "inner.py").write_text(stop + "class Deep:\n    pass\n")
    path = tmp_path / "market.yaml"
    path.write_text(
        MARKET.replace("CPU", "1000").replace("GPU", "0").replace("name: north,", f'name: north, strategy: {{python: "{spec}"}},')
    )
    assert main(["validate", str(path)]) == (0 if told is None else 2)
    err = capsys.readouterr().err
    assert "this was imported" not in err and (told is None or (told in err and "8:" in err and "providers.north.strategy.python: " in err))


def test_validate_imports_classes_when_it_is_told_to(capsys: Shell, tmp_path: Path) -> None:
    (tmp_path / "unpriced.py").write_text("class Mine:\n    pass\n")
    path = tmp_path / "market.yaml"
    text = MARKET.replace("CPU", "1000").replace("GPU", "0").replace("name: north,", 'name: north, strategy: {python: "unpriced:Mine"},')
    path.write_text(text)
    assert main(["validate", str(path)]) == 0
    assert main(["validate", "--import", str(path)]) == 2
    assert "providers.north.strategy.python: unpriced:Mine has no method price(request)" in capsys.readouterr().err


def test_files_of_no_known_kind(capsys: Shell, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text("colour: red\n")
    assert main(["validate", str(path)]) == 2
    assert f"{path}:1:1: colour: unknown key, expected a scenario" in capsys.readouterr().err
    path.write_text("tenents: []\nhorizon: 1d\n")
    assert main(["validate", str(path)]) == 2
    assert f"{path}:1:1: tenents: unknown key, did you mean 'tenants'?" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["scenario", "provider", "sdl", "sweep"])
def test_committed_schemas_are_the_generated_ones(kind: str) -> None:
    committed = (SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")
    assert committed == schema_of(kind), f"run: marketsim schema {kind} > docs/schema/{kind}.json"
    assert json.loads(committed)["type"] == "object"


def test_schemas_name_every_key_and_refuse_others() -> None:
    schema = json.loads(schema_of("scenario"))
    assert schema["additionalProperties"] is False and schema["required"] == ["horizon"]
    assert {"tenants", "providers", "quirks", "horizon", "block_time"} <= schema["properties"].keys()
    assert schema["$defs"]["CountLaw"]["anyOf"][0]["anyOf"][0]["type"] == "integer"


@pytest.mark.parametrize("kind", ["scenario", "provider", "sweep"])
def test_every_key_is_described_and_its_default_is_one_that_it_takes(kind: str) -> None:
    schema = json.loads(schema_of(kind))
    for where in (schema, *schema["$defs"].values()):
        for form in (where, *where.get("anyOf", ())):
            for name, key in form.get("properties", {}).items():
                assert key.get("description"), name
                assert not isinstance(key.get("default"), dict) or "in_blocks" not in key["default"], name


def test_the_page_of_keys_is_the_printed_one(capsys: Shell) -> None:
    assert main(["schema", "scenario", "--docs"]) == 0
    page = capsys.readouterr().out
    assert page == (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8"), "run: marketsim schema scenario --docs > docs/scenario.md"
    anchors = {re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-") for line in page.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors
    assert "| `wallet` | amount in whole uve | `5000VE` | what each owns at the start" in page
    assert main(["schema", "sweep", "--docs"]) == main(["schema", "provider", "--docs"]) == main(["schema", "sdl", "--docs"]) == 0


def test_a_default_is_what_the_key_takes() -> None:
    """What the page calls a default, written into a file, is what is there without it."""
    base: dict[str, Any] = {
        "horizon": "1d",
        "tenants": [{"name": "a", "demand": "1/h", "order": {"cpu": 1000, "memory": "1Gi", "storage": "1Gi"}}],
        "providers": [{"name": "b", "capacity": {"cpu": 1, "memory": 1, "storage": 1}}],
    }
    left_out = scenario_from_mapping(base).effective()
    for model, holder in ((Scenario, base), (TenantCohort, base["tenants"][0]), (ProviderCohort, base["providers"][0])):
        for key in keys_in(model):
            if not key.field.is_required() and key.name not in {*holder, "strategy", "ceiling"}:
                holder[key.name] = key.written_default()
    assert scenario_from_mapping(base).effective() == left_out


def test_an_unknown_kind_of_schema(capsys: Shell) -> None:
    assert main(["schema", "colour"]) == 2
    assert "kinds are scenario, provider, sdl, sweep" in capsys.readouterr().err
