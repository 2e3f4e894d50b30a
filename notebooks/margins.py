# ---
# jupyter:
#   jupytext:
#     formats: py:percent
# ---

# %% [markdown]
# # What a margin earns
#
# The providers called `local` in `scenarios/small.yaml` compete with larger ones. Here they ask for 5, 15 and
# 30 % on top of their cost, each on the same demand: a seed gives every tenant the same orders, whatever the
# providers do. The file is plain Python; `jupytext --to notebook notebooks/margins.py` makes a notebook of
# it.

# %%
"""A notebook: what the local providers of a small market earn when they raise their margin."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from marketsim import load_scenario, run

ROOT = Path.cwd() if Path("scenarios").is_dir() else Path.cwd().parent
MARGINS = (5, 15, 30)
SEEDS = (1, 2, 3)

# %% [markdown]
# One run takes a fraction of a second once the chain is compiled. `run` returns the summary that
# `summary.json` holds.

# %%
rows = []
for margin in MARGINS:
    override = f"providers.local.config.bid_engine.min_profit_margin={margin}"
    scenario = load_scenario(ROOT / "scenarios" / "small.yaml", [override])
    for seed in SEEDS:
        summary = run(scenario, seed=seed).summary
        rows.append(
            {
                "margin": margin,
                "seed": seed,
                "orders": summary["orders"]["created"],
                "fill_rate": summary["fill_rate"],
                "local_ve": float(summary["revenue"]["by_cohort"]["local"]) / 1e6,
                "large_ve": float(summary["revenue"]["by_cohort"]["large"]) / 1e6,
            }
        )
runs = pd.DataFrame(rows)
print(runs.groupby("margin")[["fill_rate", "local_ve", "large_ve"]].mean().round(3))

# %% [markdown]
# The same seed has the same orders at every margin, so differences are differences of the margin and not of
# luck: the change from 5 to 30 % is taken seed by seed.

# %%
assert runs.groupby("seed")["orders"].nunique().eq(1).all()
paired = runs.pivot(index="seed", columns="margin", values="local_ve")
gain = paired[MARGINS[-1]] - paired[MARGINS[0]]
print(f"from {MARGINS[0]} to {MARGINS[-1]} %: {gain.mean():+.1f} VE, seed by seed {gain.round(1).tolist()}")

# %%
figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for seed, values in paired.iterrows():
    axes.plot(values.index, values.to_numpy(), marker="o", label=f"seed {seed}")
axes.set(xlabel="margin on cost, %", ylabel="revenue of the local providers, VE", ylim=(0, None))
axes.legend(title="Same demand")
axes.spines[["top", "right"]].set_visible(False)
