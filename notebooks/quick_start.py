# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Quick start from Python
#
# `small` is a shipped market of 40 tenants and 14 providers; five days of it run in a fraction of a second once the chain is compiled.

# %%
"""A notebook: a market run, looked at, swept and compared from Python."""

from __future__ import annotations

import tempfile

import marketsim as ms

result = ms.run("small", seed=1)
result

# %% [markdown]
# Tables are frames: names, not codes; prices are numbers in uve a block.

# %%
leases = result.leases
leases[["tenant", "provider", "price", "created_at", "ended"]].head()

# %%
leases.groupby("provider_cohort", observed=True)["price"].describe().round(2)

# %% [markdown]
# Over time: the price index is 100 where leases cost what their resources cost at the generic monthly targets, whatever their sizes.

# %%
prices = result.plot.prices("6h")
prices.set_title("What leases cost, by who serves them")
assert len(prices.lines) == 2

# %% [markdown]
# One run is one draw. Several seeds give a band.

# %%
runs = ms.replicate("small", seeds=6)
runs.summaries[["fill_rate", "price.mean_won", "revenue.total"]].round(3)

# %%
active = runs.plot.series("active", "2h")

# %% [markdown]
# A sweep runs a design on all processors. It is kept on disk: called again, it makes only what is missing.

# %%
MARGIN = "providers.local.config.bid_engine.min_profit_margin"
design = {
    "name": "local-margin",
    "scenario": "small",
    "set": {"horizon": "2d", "warm_up": "12h"},
    "factors": [{"name": "margin", "title": "margin of the local providers", "unit": "%", "path": MARGIN, "levels": [5, 15, 30]}],
    "metrics": ["revenue.by_cohort.local", "fill_rate"],
    "replications": 4,
}
folder = tempfile.mkdtemp()
swept = ms.sweep(design, out=f"{folder}/margins", workers=2)
swept.points[[("margin", ""), ("revenue.by_cohort.local", "mean"), ("fill_rate", "mean")]].round(3)

# %%
earned = swept.plot("revenue.by_cohort.local")

# %% [markdown]
# A comparison takes both sides through the same demand, pair by pair, and says when it knows.

# %%
short = {"horizon": "2d", "warm_up": "12h"}
found = ms.compare("small", overrides=short, overrides_b={MARGIN: 30}, metrics=["revenue.by_cohort.local"], pairs=8, workers=2)
found
