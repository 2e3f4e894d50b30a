# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # A strategy that learns
#
# `learner.py` beside this file has a class that tries a margin a day and keeps to what earned most. Here the local providers of `small` use
# it for a month, against large ones that stay as they are.

# %%
"""A notebook: a pricing strategy that learns."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path.cwd() if Path("learner.py").is_file() else Path("notebooks").resolve()
sys.path.insert(0, str(HERE))

import marketsim as ms

month = {"horizon": "30d", "warm_up": "1d", "tenants.web.demand.arrivals": "6/h"}
usual = ms.run("small", overrides=month)
learning = ms.run("small", overrides={**month, "providers.local.strategy": {"python": "learner:Learner"}})
learning

# %% [markdown]
# The price paths: what the leases of each cohort cost, day by day, as an index that sizes do not move.

# %%
axes = learning.plot.prices("1d")
title = axes.set_title("The local providers try, then stay")

# %%
for name, result in (("as they are", usual), ("learning", learning)):
    local = result.providers[result.providers["cohort"] == "local"]
    print(f"{name}: the local providers earn {local['revenue_net'].sum() / 1e6:,.1f} VE and win {local['won'].sum():,} orders")

# %% [markdown]
# Chance is the learner's own and seeded, so that the same seed gives the same market again.

# %%
again = ms.run("small", overrides={**month, "providers.local.strategy": {"python": "learner:Learner"}})
assert again.fingerprint == learning.fingerprint
