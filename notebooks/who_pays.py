# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # What a price does to whom
#
# The large providers of `small` add 10 % to their cost. Here they add 40 %, on the same demand: who pays more, who is not served any
# more, and who earns what they lose?

# %%
"""A notebook: what a price does to whom."""

from __future__ import annotations

import pandas as pd

import marketsim as ms

MARGIN = "providers.large.config.bid_engine.min_profit_margin"
before = ms.run("small", seed=1)
after = ms.run("small", seed=1, overrides={MARGIN: 40})
assert before.summary["orders"]["created"] == after.summary["orders"]["created"], "the same orders"

# %% [markdown]
# Tenants: the same orders at both prices, so that each can be followed.


# %%
def followed(result: ms.RunResult) -> pd.DataFrame:
    """Each first order: whether it was served, and at which price."""
    orders = result.orders[~result.orders["relisted"]].copy()
    price = result.leases["price"]
    orders["price"] = orders["lease"].map(price)
    return orders.set_index(orders["order"].astype(str))[["tenant_cohort", "price", "ceiling", "cpu"]]


both = followed(before).join(followed(after)["price"].rename("price_after"), how="inner")
both["fate"] = "unserved before and after"
both.loc[both["price"].notna() & both["price_after"].notna(), "fate"] = "served at both"
both.loc[both["price"].notna() & both["price_after"].isna(), "fate"] = "lost its lease"
both.loc[both["price"].isna() & both["price_after"].notna(), "fate"] = "found a lease"
pd.crosstab(both["fate"], both["tenant_cohort"].astype(str))

# %% [markdown]
# Whoever is served at both prices pays more: the median change of the price, in percent.

# %%
served = both[both["fate"] == "served at both"]
change = (served["price_after"] / served["price"] - 1).groupby(served["tenant_cohort"], observed=True)
(100 * change.median()).round(1).rename("median change, %").to_frame()

# %% [markdown]
# Providers: what one cohort asks, the other feels.

# %%
earned = pd.DataFrame()
for name, result in (("10 %", before), ("40 %", after)):
    earned[name] = result.providers.groupby("cohort", observed=True)["revenue_net"].sum() / 1e6
earned.round(1).rename_axis("revenue, VE; margin of the large")

# %%
axes = after.plot.prices("12h")
title = axes.set_title("Prices when the large providers add 40 %")

# %% [markdown]
# One seed is one draw; a comparison of pairs says what holds.

# %%
short = {"horizon": "2d", "warm_up": "12h"}
metrics = ["revenue.by_cohort.large", "revenue.by_cohort.local", "fill_rate", "price.mean_won"]
found = ms.compare("small", overrides=short, overrides_b={MARGIN: 40}, metrics=metrics, pairs=8, workers=2)
differences = pd.DataFrame(found.data["metrics"]).set_index("metric")[["mean_a", "mean_b", "difference"]]
differences.loc[["revenue.by_cohort.large", "revenue.by_cohort.local"]] /= 1e6  # uve to VE
differences.round(3)
