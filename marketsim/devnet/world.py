"""The scenario that a devnet plays: one that somebody chose, with the trainee's own accounts and provider in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marketsim.devnet.accounts import FUNDS, PROVIDER, account_names, wallet_of_key
from marketsim.errors import InputError
from marketsim.scenario.files import load_provider
from marketsim.scenario.load import scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.scenario.shipped import shipped_folder

CONFIG = "provider-config.yaml"
"""The provider's file in a devnet's folder."""
DOCUMENT = "providers/training.yaml"
"""The training document's provider file, with which a devnet begins."""
CAPACITY = {"cpu": 128_000, "memory": "512Gi", "storage": "10Ti", "gpu": 0}
LEASES = 50
"""What the trainee's provider has, and most leases that it holds: as the training document's dashboard shows them."""
REGION = "us-east-1"


def write_config(folder: Path) -> Path:
    """Return the path of a folder's provider file, which is the training document's where there was none."""
    path = folder / CONFIG
    if not path.exists():
        path.write_bytes((shipped_folder() / DOCUMENT).read_bytes())
    return path


def with_trainee(scenario: Scenario, accounts: int, config: Path) -> dict[str, Any]:
    """Return a scenario's plain data with the accounts of a devnet and the trainee's provider in it.

    Raises InputError for a scenario that cannot be a devnet, for one that has a cohort of that name, and for a bad provider file.
    """
    if scenario.market is not None:
        raise InputError(f"{scenario.name}: its market is generated (market:), a devnet needs one of cohorts or messages")
    if scenario.agents:
        raise InputError(f"{scenario.name}: has agents of users' code, whose market cannot be copied; leave agents: out")
    if any(cohort.strategy.kind in ("python", "script") for cohort in scenario.providers):
        raise InputError(f"{scenario.name}: has prices made by users' code, whose market cannot be copied; give another strategy:")
    if PROVIDER in {*(each.name for each in scenario.providers), *(each.name for each in scenario.tenants)}:
        raise InputError(f"{scenario.name}: has a cohort called {PROVIDER}, which is the trainee's own account in a devnet; rename it")
    data = scenario.effective()
    data["record"] = "summary"  # the long tables of a record would grow for as long as the devnet runs
    data["warm_up"] = 0  # nothing is measured over a window
    data["calibration"] = {}
    data["providers"] = [*data["providers"], trainee(config)]
    start = data["start"]
    start["wallets"] = {wallet_of_key(name): FUNDS for name in account_names(accounts) if name != PROVIDER} | start["wallets"]
    return data


def trainee(config: Path) -> dict[str, Any]:
    """Return the cohort of the trainee's provider, whose file is at `config`. Raises InputError with every error of the file located."""
    return {
        "name": PROVIDER,
        "config": load_provider(config).model_dump(mode="json"),
        "capacity": CAPACITY,
        "lease_capacity": LEASES,
        "regions": [REGION],
        "wallet": FUNDS,
        "usage": "manual",
    }


def world_of(data: Mapping[str, Any], base: Path) -> Scenario:
    """Return the scenario of a devnet's first line."""
    return scenario_from_mapping(data, base, name="devnet scenario")


def whole_changes(config: Path) -> dict[str, Any]:
    """Return what a `configure` message lays over a provider's file so that it becomes that at `config`, keys that were taken out too.

    Raises InputError with every error of the file located.
    """
    file = load_provider(config)
    if file.changes:
        raise InputError(
            f"{config}: changes: are dated from the start of a run, a devnet reads the file when it is told to; leave them out"
        )
    return {
        "bid_engine": file.bid_engine.model_dump(mode="json"),
        "filters": {name: None for name in type(file.filters).model_fields} | file.filters.model_dump(mode="json"),
    }


__all__ = ["CONFIG", "trainee", "whole_changes", "with_trainee", "world_of", "write_config"]
