"""The API keeps to its own description: schemathesis asks what that allows and what it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from devnets import served
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from marketsim.devnet.client import Client

EXAMPLES = int(os.environ.get("MARKETSIM_SCHEMA_EXAMPLES", "6"))
"""Of each operation, right ones and wrong ones."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
"""Not that everything that the description allows is done: a mapping need not be a message, a name need not be there."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served(tmp_path_factory.mktemp("schema"), speed=0) as found:
        yield found


@pytest.fixture(scope="module")
def api(client: Client) -> Any:
    found = schemathesis.openapi.from_url(f"{client.url}/api/v1/openapi.json")
    found.config.base_url = client.url
    return found.exclude(path="/api/v1/stop").exclude(path="/api/v1/clock/advance").exclude(path="/api/v1/events")


@pytest.mark.parametrize("mode", GenerationMode)
def test_the_api_keeps_to_its_description(api: Any, client: Client, mode: GenerationMode) -> None:
    asked: dict[str, int] = {}
    for found in api.get_all_operations():
        operation = found.ok()
        try:
            strategy = operation.as_strategy(generation_mode=mode)
        except schemathesis.errors.SchemathesisError:
            continue  # nothing can be wrong about what takes nothing

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], database=None)
        @given(case=strategy)
        @seed(1)
        def ask(case: Any) -> None:
            if case.path == "/api/v1/messages" and isinstance(case.body, dict) and "secret" in case.body and mode.is_positive:
                case.body |= {"signer": "tenant", "secret": client._secret("tenant")}  # else everything ends there
            asked[case.path] = asked.get(case.path, 0) + 1
            case.call_and_validate(checks=CHECKS, timeout=60)

        try:
            ask()
        except Unsatisfiable:
            continue
    assert len(asked) > 10 and sum(asked.values()) > 60, asked
    assert client.status()["height"] >= 0
