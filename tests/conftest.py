"""What all tests share: properties have no deadline, because the first call of compiled code compiles it."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("marketsim", deadline=None)
settings.load_profile("marketsim")
