# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # Write an agent
#
# An agent is a generator function: it waits, looks, and sends messages while the market runs. `undercutter.py` beside this file has one,
# a provider that waits 40 seconds after each order and then bids a little less than the lowest open bid:

# %%
"""A notebook: an agent that acts in a running market."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

HERE = Path.cwd() if Path("undercutter.py").is_file() else Path("notebooks").resolve()
sys.path.insert(0, str(HERE))

from undercutter import undercutter

import marketsim as ms

print((HERE / "undercutter.py").read_text("utf-8").partition("\n\n\n")[2])

# %% [markdown]
# `check_agent` tries it in a small market before it is used: it must get through a day, alike twice over.

# %%
ms.check_agent(undercutter, provider=True, options={"cut": 0.05})

# %% [markdown]
# Two days of the market `small`, once as it is, once with an undercutter of 32 cores beside the others.

# %%
days = {"horizon": "2d", "warm_up": "6h"}
agent = {
    "name": "undercutter",
    "python": "undercutter:undercutter",
    "options": {"cut": 0.02},
    "provider": {"capacity": {"cpu": 32000, "memory": "128Gi", "storage": "4Ti"}},
}
usual = ms.run("small", overrides=days)
market = ms.load_scenario("small", {**days, "agents": [agent]})
changed = ms.run(market)
changed

# %% [markdown]
# What it wrote down with `me.log`, bid by bid, and how its bids ended:

# %%
log = pd.DataFrame(changed.record.logs["undercutter"])
log[["height", "lowest", "price", "result"]].head()

# %%
log["result"].value_counts().rename("bids").to_frame()

# %% [markdown]
# Who pays for that? What each cohort of providers earns, in VE, and the price of a lease over time:

# %%
earned = pd.DataFrame(
    {
        name: result.providers.groupby("cohort", observed=True)["revenue_net"].sum() / 1e6
        for name, result in (("as it was", usual), ("with the undercutter", changed))
    }
)
earned.round(2)

# %%
axes = changed.plot.prices("3h")
title = axes.set_title("What leases cost beside an undercutter")

# %% [markdown]
# Its options can be swept like any key: how deep should it cut?

# %%
rows = []
for cut in (0.005, 0.02, 0.05, 0.1):
    result = ms.run(market.replace({"agents.undercutter.options.cut": cut}))
    mine = result.providers[result.providers["cohort"] == "undercutter"]
    rows.append({"cut": cut, "won": int(mine["won"].sum()), "revenue, VE": mine["revenue_net"].sum() / 1e6})
pd.DataFrame(rows).set_index("cut").round(2)
