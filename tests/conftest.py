"""What all tests share: properties have no deadline, because the first call of compiled code compiles it, and
slow tests begin first, so that several processes end together."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("marketsim", deadline=None)
settings.load_profile("marketsim")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
