"""The example project and the pytest plugin: workflow steps are run as they stand, fixtures by a pytest of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

EXAMPLE = Path(__file__).parents[2] / "examples" / "ci"
CRITICAL_SECONDS = 600
PLUGIN = (
    [] if any(point.value == "marketsim.pytest_plugin" for point in entry_points(group="pytest11")) else ["-p", "marketsim.pytest_plugin"]
)
"""An environment that was set up before the plugin was there does not know it."""
MARKET = """
name: tested
horizon: 600 blocks
bid_min_deposit: 1uve
deployment_min_deposit: 1uve
tenants:
  - {name: web, count: 5, wallet: 100VE, demand: {orders: 60}, order: {cpu: {uniform: [500, 4000]}, memory: 1Gi, storage: 10Gi},
     ceiling: {times_cost: {uniform: [0.9, 2]}}, duration: 100 blocks, deposit: {price_blocks: 600}}
providers:
  - {name: north, count: 3, spread: 0.1, capacity: {cpu: 32000, memory: 128Gi, storage: 4Ti}, latency: {lognormal: {median: 2s, p95: 8s}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns("__pycache__", "build", ".pytest_cache"))
    return made


def environment(project: Path, **more: str) -> dict[str, str]:
    """As a CI has it: marketsim's commands on the path, no terminal; `gh` is one that writes down how it is called."""
    tools = project.parent / "tools"
    tools.mkdir(exist_ok=True)
    gh = tools / "gh"
    gh.write_text(f'#!/bin/sh\necho "$@" >> "{project.parent}/gh.txt"\n')
    gh.chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    options = " ".join(PLUGIN)
    return os.environ | {"PATH": path, "PYTHONUTF8": "1", "PYTEST_ADDOPTS": f"-p no:cacheprovider {options}", "PIP_NO_INPUT": "1"} | more


def passed(script: str, project: Path, env: dict[str, str], code: int = 0) -> str:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=project, env=env, capture_output=True, text=True, timeout=CRITICAL_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def test_the_steps_of_github_actions_pass(project: Path) -> None:
    workflow = read(project / ".github" / "workflows" / "outcomes.yml")
    files = {name: project.parent / name for name in ("GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
    env = environment(project, PULL="7", **{name: str(path) for name, path in files.items()})
    printed = {}
    steps = workflow["jobs"]["outcomes"]["steps"]
    for step in steps:
        if "run" in step:
            assert "${{" not in step["run"], "an expression in a script is a hole for whoever names a branch"
            printed[step["name"]] = passed(step["run"], project, env)
            if files["GITHUB_ENV"].exists():
                env |= dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines())
    assert list(printed) == ["Note the time", "Install", "Validate", "Test", "Market outcomes", "Summary and minutes", "Comment"]
    # Identical on the platform that made the baseline, by statistics on another.
    assert re.search(r"::notice file=outcomes.json,title=market outcomes::(identical|pass)", printed["Market outcomes"])
    assert re.search(r"::notice title=minutes::\d+ min \d+ s", printed["Summary and minutes"])
    assert files["GITHUB_STEP_SUMMARY"].read_text().startswith("### Market outcomes: ")
    assert (project.parent / "gh.txt").read_text().startswith("pr comment 7 ")
    cached = next(step for step in steps if str(step.get("uses", "")).startswith("actions/cache"))
    assert cached["with"]["path"] == "~/.cache/marketsim"
    # A change that costs a quarter of our revenue: the same steps are red where they should be, and tell where.
    strategy = project / "night_owl.py"
    strategy.write_text(strategy.read_text().replace("BUSY_PERCENT = 20", "BUSY_PERCENT = 80"))
    gate = next(step["run"] for step in steps if step.get("name") == "Market outcomes")
    red = passed(gate, project, env, code=1)
    assert "::error file=outcomes.json,title=revenue.by_cohort.mine fail::" in red
    assert "first difference: seed 1, blocks" in red
    assert "❌ fail" in (project / "build" / "outcomes.md").read_text()


def test_the_job_of_gitlab_passes(project: Path) -> None:
    job = read(project / ".gitlab-ci.yml")["outcomes"]
    assert ".cache/" in job["cache"]["paths"]
    assert job["variables"]["MARKETSIM_CACHE"].startswith("$CI_PROJECT_DIR/.cache/")
    # Tests and gate are those of GitHub's workflow, which has run them.
    github = [
        step["run"] for step in read(project / ".github" / "workflows" / "outcomes.yml")["jobs"]["outcomes"]["steps"] if "run" in step
    ]
    tests = job["script"][1]
    assert tests in github
    script = [line for line in job["script"] if line != tests]
    printed = passed("\n".join([*job["before_script"], *script]), project, environment(project))
    assert re.search("^verdict     (identical|pass)", printed, re.MULTILINE)
    assert re.match(r"minutes - \d+", passed("\n".join(job["after_script"]), project, environment(project)))
    for report in ("build/outcomes.xml", "build/outcomes.md"):
        assert (project / report).is_file()
        assert report in [*job["artifacts"]["paths"], *job["artifacts"]["reports"]["junit"]]


TESTS = """
import os
import pytest

def test_bounds(marketsim_run, assert_outcome):
    run = marketsim_run("market.yaml", seed=1)
    assert run.summary is marketsim_run("market.yaml", seed=1).summary
    assert marketsim_run("market.yaml", seed=1, settings={"take": "0.1"})["take"] > run["take"]
    assert_outcome(run, "fill_rate", at_least=0.1, at_most=1)
    assert 0 < run["welfare.hhi"] <= 1
    with pytest.raises(AssertionError, match=r"fill_rate = .*, at least 1.5 was asked for"):
        assert_outcome(run, "fill_rate", at_least=1.5)
    runs = [marketsim_run("market.yaml", seed=seed) for seed in (1, 2, 3)]
    with pytest.raises(AssertionError, match=r"interval of the mean .*n = 3"):
        assert_outcome(runs, "revenue.total", at_least=run["revenue.total"] * 2)
    assert_outcome(runs, "orders.created", equals=60)
    with pytest.raises(KeyError, match="fil_rate"):
        run["fil_rate"]

def test_baseline(outcome_baseline):
    outcome_baseline("market.yaml", "revenue.total:5%")

def test_exact(outcome_baseline):
    outcome_baseline("market.yaml", "fill_rate", exact=True, seeds=3)
"""


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", "-q", *words],
        cwd=folder, capture_output=True, text=True, timeout=CRITICAL_SECONDS, check=False,
    )  # fmt: skip


def test_the_fixtures_hold_outcomes_to_bounds_and_baselines(tmp_path: Path) -> None:
    (tmp_path / "market.yaml").write_text(MARKET)
    (tmp_path / "test_market.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    none_yet = run_pytest(tmp_path)
    assert none_yet.returncode == 1
    assert "no baseline yet, write it with pytest --marketsim-update" in none_yet.stdout
    assert run_pytest(tmp_path, "--marketsim-update", "--marketsim-reason", "first").returncode == 0
    kept = json.loads((tmp_path / "baselines" / "test_market-test_baseline.json").read_text())
    assert (kept["reason"], kept["scenarios"][0]["path"]) == ("first", "../market.yaml")
    shared = run_pytest(tmp_path, "-n", "2", f"--basetemp={tmp_path / 'base'}")
    assert shared.returncode == 0, shared.stdout
    # Both processes made their runs into one folder, each once, and no lock is left.
    assert list((tmp_path / "base" / "marketsim-runs").glob("*.json"))
    assert not list((tmp_path / "base" / "marketsim-runs").glob("*.lock"))
    (tmp_path / "market.yaml").write_text(MARKET + "take: 0.2\n")
    red = run_pytest(tmp_path)
    assert red.returncode == 1
    for said in (
        "outcomes of market.yaml moved",
        "FAIL      revenue.total",
        "interval  [",
        "first difference: seed 1, blocks",
        "fingerprints differ",
    ):
        assert said in red.stdout, red.stdout
    (tmp_path / "test_market.py").write_text(TESTS.replace("revenue.total:5%", "revenue.total:6%"))
    other = run_pytest(tmp_path, "-k", "test_baseline")
    assert "the test asks for revenue.total:6%" in other.stdout


def test_a_lock_of_a_process_that_has_gone_is_nobodys(tmp_path: Path) -> None:
    from marketsim.experiments.gate.check import scenario_arm
    from marketsim.pytest_plugin import RunCache

    (tmp_path / "market.yaml").write_text(MARKET)
    arm = scenario_arm(tmp_path / "market.yaml", ())
    one = RunCache(tmp_path / "runs").summary(arm, 1)
    file = next((tmp_path / "runs").glob("*.json"))
    file.unlink()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    file.with_suffix(".lock").write_text(gone.stdout.strip())
    again = RunCache(tmp_path / "runs").summary(arm, 1)
    assert again["fingerprint"] == one["fingerprint"]
    assert not file.with_suffix(".lock").exists()
