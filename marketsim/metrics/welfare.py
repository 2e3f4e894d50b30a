"""Measures who gains from a market and how it is built: surplus, concentration, inequality, efficiency.

Functions over plain arrays, one entry per order or provider. Amounts are floats in uve (reporting; the
ledger's own figures are exact). Definitions: rules.md §9 and docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.statistics.estimates import FloatArray, finite

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ORDERS_MAX = 300
PROVIDERS_MAX = 20
# Pairs of order and provider up to which the whole problem goes to the solver in one piece.
PAIRS_OUTRIGHT = 600


def herfindahl(revenues: Sequence[float] | FloatArray) -> float:
    """Herfindahl-Hirschman index: the sum of squared market shares, 1/n (equal) to 1 (monopoly); NaN
    without revenue.
    """
    x = np.asarray(revenues, dtype=np.float64)
    total = x.sum()
    return float(((x / total) ** 2).sum()) if total > 0 else math.nan


def gini(revenues: Sequence[float] | FloatArray) -> float:
    """Gini coefficient of non-negative amounts, 0 (equal) to 1 − 1/n (one has all); NaN when nobody has
    any.
    """
    x = np.sort(np.asarray(revenues, dtype=np.float64))
    total = x.sum()
    if x.size == 0 or total <= 0:
        return math.nan
    ranks = np.arange(1, x.size + 1)
    return float(2 * (ranks * x).sum() / (x.size * total) - (x.size + 1) / x.size)


def price_dispersion(prices: Sequence[float] | FloatArray, costs: Sequence[float] | FloatArray | None = None) -> float:
    """Standard deviation ÷ mean of winning prices, each first divided by a cost of its order when costs are
    given.

    Without costs the figure mixes dispersion with the sizes of orders; with the generic cost of each order it
    is the dispersion of the price of one unit of the same thing. NaN with fewer than two prices.
    """
    x = np.asarray(prices, dtype=np.float64)
    if costs is not None:
        x = x / np.asarray(costs, dtype=np.float64)
    return float(x.std(ddof=1) / x.mean()) if x.size > 1 and x.mean() > 0 else math.nan


@dataclass(frozen=True)
class Unserved:
    """Demand that was not served, by reason: number of orders and its share in per cent, adding to exactly
    100.
    """

    counts: dict[str, int]
    percent: dict[str, float]


def unserved_shares(counts: Mapping[str, int], decimals: int = 1) -> Unserved:
    """Shares of the unserved orders by reason, rounded by largest remainder so that what is printed adds to
    100.

    Reasons without orders are left out; no unserved orders at all gives empty shares.
    """
    kept = {reason: int(number) for reason, number in sorted(counts.items()) if number > 0}
    total = sum(kept.values())
    steps = 100 * 10**decimals
    floors = {reason: number * steps // total for reason, number in kept.items()}
    by_remainder = sorted(kept, key=lambda reason: (-(kept[reason] * steps % total), reason))
    for reason in by_remainder[: steps - sum(floors.values()) if kept else 0]:
        floors[reason] += 1
    return Unserved(kept, {reason: round(part / 10**decimals, decimals) for reason, part in floors.items()})


@dataclass(frozen=True)
class Surplus:
    """Gains from trade of the served orders in uve, and who has them; the three parts add to `total`."""

    tenants: float
    providers: float
    protocol: float
    total: float

    def as_json(self) -> dict[str, float | None]:
        """Plain numbers."""
        return {
            "tenants": finite(self.tenants),
            "providers": finite(self.providers),
            "protocol": finite(self.protocol),
            "total": finite(self.total),
        }


def surplus(
    *,
    value: FloatArray,
    blocks: FloatArray,
    paid: FloatArray,
    cost: FloatArray,
    fees: FloatArray | float = 0.0,
) -> Surplus:
    """Tenants' surplus, providers' profit and the protocol's take over served orders.

    Per served order: `value` and `cost` of the winner per block (uve/block), `blocks` it was served, `paid`
    what left its escrow (uve, gross), `fees` the network's take in it. Tenants gain value × blocks − paid,
    providers paid − fees − cost × blocks, the protocol the fees.
    """
    gross = float(paid.sum())
    tenants = float((value * blocks).sum()) - gross
    protocol = float(np.sum(fees))
    providers = gross - protocol - float((cost * blocks).sum())
    return Surplus(tenants, providers, protocol, tenants + providers + protocol)


def cost_per_block(resources: FloatArray, unit_prices: FloatArray, cost_share: FloatArray | float = 1.0) -> FloatArray:
    """Each provider's cost of each order, uve/block (orders × providers): base cost × `cost_share`.

    `resources` is orders × resources, `unit_prices` providers × resources in uve per unit and block.
    """
    costs: FloatArray = resources @ unit_prices.T * np.asarray(cost_share, dtype=np.float64)
    return costs


@dataclass(frozen=True)
class Efficiency:
    """The realised gains from trade against the best assignment in hindsight.

    `optimum` is the best assignment found, `bound` what the solver proved that no assignment exceeds, `gap`
    their relative distance (0 when the optimum is proven). `efficiency` is realised ÷ optimum,
    `efficiency_low` realised ÷ bound: the true ratio lies between the two.
    """

    realised: float
    optimum: float
    bound: float
    gap: float
    efficiency: float
    efficiency_low: float
    winners: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; the winners of the best assignment are left out."""
        return {
            "realised": finite(self.realised),
            "optimum": finite(self.optimum),
            "bound": finite(self.bound),
            "gap": finite(self.gap),
            "efficiency": finite(self.efficiency),
            "efficiency_low": finite(self.efficiency_low),
        }


def efficiency(
    *,
    value: FloatArray,
    start: IntArray,
    end: IntArray,
    resources: FloatArray,
    winner: IntArray,
    capacity: FloatArray,
    cost: FloatArray,
    eligible: BoolArray | None = None,
    served_blocks: FloatArray | None = None,
    effort: int = 40,
    target: float = 1e-3,
) -> Efficiency:
    """Realised surplus against the optimum of an assignment that knew everything (`scipy.optimize.milp`).

    Orders: `value` per block, the fixed interval [`start`, `end`) in blocks, `resources` (orders ×
    resources), `winner` (provider's row, −1 for none), `served_blocks` of the winner (default the whole
    interval). Providers: `capacity` (providers × resources), `cost` per block (orders × providers),
    `eligible` (orders × providers, default all). In the optimum each order is served whole or not at all,
    at one provider, within every capacity at every block. A small market is solved outright; a larger one
    by its linear relaxation (the bound) and up to `effort` exact solutions of parts with the rest held
    fixed. Work is limited by counts, not by time, so that equal input gives equal bytes. Raises ValueError
    beyond 300 orders × 20 providers.
    """
    orders, providers = cost.shape
    if orders > ORDERS_MAX or providers > PROVIDERS_MAX:
        raise ValueError(
            f"{orders} orders × {providers} providers are too many for the exact optimum; at most {ORDERS_MAX} × {PROVIDERS_MAX}"
        )
    blocks = (end - start).astype(np.float64)
    served = winner >= 0
    lived = blocks if served_blocks is None else served_blocks
    realised = float(((value[served] - cost[served, winner[served]]) * lived[served]).sum())
    gain = (value[:, None] - cost) * blocks[:, None]
    fits = (resources[:, None, :] <= capacity[None, :, :]).all(axis=2)
    usable = (gain > 0) & fits & (True if eligible is None else eligible)
    problem = _Assignment(gain, usable, start, end, resources, capacity)
    winners, bound = problem.best(effort, target)
    optimum = problem.worth(winners)
    bound = max(bound, optimum)
    return Efficiency(
        realised=realised,
        optimum=optimum,
        bound=bound,
        gap=(bound - optimum) / bound if bound > 0 else 0.0,
        efficiency=realised / optimum if optimum > 0 else (1.0 if realised == 0 else math.nan),
        efficiency_low=realised / bound if bound > 0 else (1.0 if realised == 0 else math.nan),
        winners=tuple(int(w) for w in winners),
    )


def _quiet_milp(*arguments: Any, **options: Any) -> Any:
    """`scipy.optimize.milp` without the lines that the solver writes to the process's standard output."""
    import os
    import sys

    from scipy import optimize

    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        return optimize.milp(*arguments, **options)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


@dataclass(frozen=True)
class _Assignment:
    """Which provider serves which order: gains (orders × providers), intervals, needs and capacities."""

    gain: FloatArray
    usable: BoolArray
    start: IntArray
    end: IntArray
    resources: FloatArray
    capacity: FloatArray

    def worth(self, winners: IntArray) -> float:
        served = np.nonzero(winners >= 0)[0]
        return float(self.gain[served, winners[served]].sum())

    def best(self, effort: int, target: float) -> tuple[IntArray, float]:
        """The best winners found and the proven bound."""
        nobody = np.full(self.start.size, -1)
        everybody = np.arange(self.start.size)
        if int(self.usable.sum()) <= PAIRS_OUTRIGHT:
            winners, bound, _ = self.solve(nobody, everybody)
            return winners, bound
        _, bound, shares = self.solve(nobody, everybody, relaxed=True)
        winners = self.rounded(shares)
        # Parts: orders that are alive together, in windows that slide over time and leave no order out.
        by_start = np.argsort(self.start, kind="stable")
        size = max(1, PAIRS_OUTRIGHT * self.start.size // int(self.usable.sum()))
        step = max(1, size // 2)
        offsets = list(range(0, max(1, by_start.size - step), step))
        stale = 0
        for turn in range(effort):
            free = by_start[offsets[turn % len(offsets)] :][:size]
            improved, _, _ = self.solve(winners, free)
            gained = self.worth(improved) > self.worth(winners) * (1 + 1e-9)
            winners, stale = (improved, 0) if gained else (winners, stale + 1)
            if stale >= len(offsets) or self.worth(winners) >= bound * (1 - target):
                break
        return winners, bound

    def rounded(self, shares: FloatArray) -> IntArray:
        """A feasible assignment: pairs by their share in the relaxation, then by gain, each where it still
        fits.
        """
        winners = np.full(self.start.size, -1)
        rows, columns = np.nonzero(self.usable)
        order = np.lexsort((-self.gain[rows, columns], -np.round(shares[rows, columns], 6)))
        for who, where in zip(rows[order], columns[order], strict=True):
            if winners[who] < 0:
                held = np.nonzero(winners == where)[0]
                if self._fits(who, where, held):
                    winners[who] = where
        return winners

    def _fits(self, who: int, where: int, held: IntArray) -> bool:
        together = held[(self.start[held] < self.end[who]) & (self.end[held] > self.start[who])]
        moments = np.append(np.maximum(self.start[together], self.start[who]), self.start[who])
        alive = (self.start[together] <= moments[:, None]) & (self.end[together] > moments[:, None])
        load = alive @ self.resources[together] + self.resources[who]
        return bool((load <= self.capacity[where]).all())

    def solve(self, winners: IntArray, free: IntArray, *, relaxed: bool = False) -> tuple[IntArray, float, FloatArray]:
        """The best winners of the `free` orders with all others held; also the bound and the solution's
        shares.
        """
        from scipy import optimize, sparse

        held = winners.copy()
        held[free] = -1
        mask = np.zeros_like(self.usable)
        mask[free] = self.usable[free]
        rows, columns = np.nonzero(mask)
        shares = np.zeros_like(self.gain)
        if rows.size == 0:
            return held, self.worth(held), shares
        once = sparse.csr_array((np.ones(rows.size), (rows, np.arange(rows.size))), shape=(self.start.size, rows.size))
        constraints = [optimize.LinearConstraint(once, ub=np.ones(self.start.size))]
        crowded = self._capacity_rows(rows, columns, held)
        if crowded is not None:
            constraints.append(optimize.LinearConstraint(crowded[0], ub=crowded[1]))
        # Surpluses of real markets are millions of uve: scaled to 1 the solver's tolerances mean something.
        scale = float(self.gain[rows, columns].max())
        found = _quiet_milp(
            -self.gain[rows, columns] / scale,
            integrality=np.zeros(rows.size) if relaxed else np.ones(rows.size),
            bounds=optimize.Bounds(0, 1),
            constraints=constraints,
            options={"node_limit": 100, "mip_rel_gap": 1e-6},
        )
        if found.x is None:
            raise ValueError(f"the solver found no assignment: {found.message}")
        shares[rows, columns] = found.x
        chosen = found.x > 0.5
        improved = held.copy()
        if not relaxed:
            improved[rows[chosen]] = columns[chosen]
        bound = -float(found.fun if relaxed else found.mip_dual_bound) * scale + self.worth(held)
        return improved, bound, shares

    def _capacity_rows(self, rows: IntArray, columns: IntArray, held: IntArray) -> tuple[Any, FloatArray] | None:
        """Capacity at every block as sparse rows (constraints × pairs) and limits, None where nothing can
        crowd.

        The load on a provider only rises at a start, so a capacity kept at every start is kept at every
        block; of the starts with no end between them only the last can bind.
        """
        from scipy import sparse

        starts, ends = np.unique(self.start), np.unique(self.end)
        following = np.append(starts[1:], np.iinfo(np.int64).max)
        binding = starts[np.searchsorted(ends, starts, "right") < np.searchsorted(ends, following, "right")]
        alive_all = (self.start <= binding[:, None]) & (self.end > binding[:, None])
        data, row_ids, column_ids = [], [], []
        limits: list[float] = []
        for provider in np.unique(columns):
            pairs = np.nonzero(columns == provider)[0]
            who = rows[pairs]
            alive = alive_all[:, who]
            used = alive_all[:, held == provider] @ self.resources[held == provider]
            for resource in range(self.capacity.shape[1]):
                need = self.resources[who, resource]
                room = self.capacity[provider, resource] - used[:, resource]
                tight = np.nonzero((alive * need).sum(axis=1) > room)[0]
                # Neighbouring moments often hold the same orders: one row is enough.
                seen: set[bytes] = set()
                for moment in tight:
                    present = np.nonzero(alive[moment] & (need > 0))[0]
                    key = present.tobytes() + np.float64(room[moment]).tobytes()
                    if key in seen:
                        continue
                    seen.add(key)
                    # Scaled by the capacity: bytes and millicores in one matrix would be badly conditioned.
                    data.append(need[present] / self.capacity[provider, resource])
                    column_ids.append(pairs[present])
                    row_ids.append(np.full(present.size, len(limits)))
                    limits.append(room[moment] / self.capacity[provider, resource])
        if not limits:
            return None
        matrix = sparse.csr_array(
            (np.concatenate(data), (np.concatenate(row_ids), np.concatenate(column_ids))),
            shape=(len(limits), rows.size),
        )
        return matrix, np.array(limits)
