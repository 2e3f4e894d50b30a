"""Names of before the rooms, until 0.2: what documents told users to import from here is `marketsim`'s own now."""

import sys
import warnings
from importlib import import_module

warnings.warn(
    "marketsim.policies goes with version 0.2: import check_strategy, Refusal, RefusalCode and the like from marketsim",
    FutureWarning,
    stacklevel=2,
)
for old, new in (("strategies", "rules"), ("check_strategy", "check"), ("repriced_cost", "repriced_cost")):
    sys.modules[f"{__name__}.{old}"] = import_module(f"marketsim.strategies.{new}")
