"""The command line itself: help, versions, exit codes, errors in plain lines; `validate` and `schema`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from marketsim import cli
from marketsim.cli import main
from marketsim.cli.files import schema_of
from marketsim.errors import InputError, InvariantError

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
    assert err == "" and [line.split(": ")[0] for line in out.splitlines()] == good
    assert [line.split("(")[1].split(":")[0] for line in out.splitlines()] == ["scenario", "provider", "sdl"]
    bad = str(DATA / "bad" / "many.yaml")
    assert main(["validate", good[0], bad, "nowhere.yaml"]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and len(err.splitlines()) == 23
    assert f"{bad}:2:10: horizon: " in err and "nowhere.yaml: does not exist" in err
    assert main(["validate", "--quiet", *good]) == 0
    assert capsys.readouterr() == ("", "")


def test_validate_as_json(capsys: Shell) -> None:
    assert main(["validate", "--json", str(TRAINING), "nowhere.yaml"]) == 2
    results = json.loads(capsys.readouterr().out)
    assert [(result["ok"], result["kind"]) for result in results] == [(True, "provider"), (False, None)]
    assert results[1]["errors"] == ["nowhere.yaml: does not exist, give the path of a YAML file"]


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


def test_an_unknown_kind_of_schema(capsys: Shell) -> None:
    assert main(["schema", "colour"]) == 2
    assert "kinds are scenario, provider, sdl, sweep" in capsys.readouterr().err
