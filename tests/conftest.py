"""What all tests share: properties have no deadline, because the first call of compiled code compiles it, and
slow tests begin first, so that several processes end together."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

settings.register_profile("marketsim", deadline=None)
# For mutation tests (`make mutants`): the same examples each time, few, and no search for a smaller one after a failure.
settings.register_profile(
    "mutants",
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("marketsim")

# Who starts the tests in the background of a shell has them, and every command that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def wheel_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment that has the package as a wheel installs it."""
    from installed_wheel import installed_wheel

    return installed_wheel(tmp_path_factory.mktemp("wheel"))
