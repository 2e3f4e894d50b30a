"""Two providers that learn their margins by Q-learning: the strategy of learner.yaml (docs/hearing-strategies.md)."""

from __future__ import annotations

import numpy as np

from marketsim import Prices


class Learner:
    """Each provider keeps the value of every margin after every margin, and changes its own once a period.

    A period's reward is what was paid out in it. The state is the margin that the rival seemed to ask, as far as winning prices
    tell; with probability `explore`, which falls by `cool` every period, a margin is drawn.
    """

    def __init__(self, margins=(0.05, 0.2, 0.4, 0.7, 1.1, 1.6), every="24h", explore=0.5, cool=0.99, learn=0.15, discount=0.9):
        self.margins = np.asarray(margins, float)
        self.hear_every = every
        self.explore, self.cool, self.learn, self.discount = explore, cool, learn, discount

    def start(self, me):
        self.me = me
        count, levels = len(me.own), len(self.margins)
        self.value = np.zeros((count, levels, levels))  # provider, what the rival seemed to ask, own margin
        self.cost = me.own.units[:, 0] + me.own.units[:, 1] / 1e18
        self.now = me.rng.integers(levels, size=count)
        self.seen = np.zeros(count, int)
        self.paid = np.zeros(count)

    def decide(self, batch, own, outcomes):
        self.note(outcomes)
        price = self.cost[batch.desk] * (1 + self.margins[self.now[batch.desk]]) * batch.cpu
        whole = price.astype(np.int64)
        return Prices(whole, 1 + ((price - whole) * 1e9).astype(np.int64) * 10**9)

    def note(self, outcomes):
        """The margin of the rival, as the level next to the last price that one lost to."""
        lost = np.flatnonzero(outcomes.kind == outcomes.LOST)
        for at, desk in zip(lost, outcomes.desk[lost], strict=True):
            margin = outcomes.winning[at] / (outcomes.cpu[at] * self.cost[desk]) - 1
            self.seen[desk] = np.abs(self.margins - margin).argmin()

    def hear(self, own, outcomes):
        before = self.seen.copy()
        self.note(outcomes)
        earned = own.revenue - self.paid
        self.paid = own.revenue.astype(float)
        for row, name in enumerate(own.names):
            best = self.value[row, self.seen[row]].max()
            old = self.value[row, before[row], self.now[row]]
            self.value[row, before[row], self.now[row]] = old + self.learn * (earned[row] + self.discount * best - old)
            if self.me.rng.random() < self.explore:
                self.now[row] = self.me.rng.integers(len(self.margins))
            else:
                self.now[row] = self.value[row, self.seen[row]].argmax()
            price = 1000 * self.cost[row] * (1 + self.margins[self.now[row]])
            self.me.log(name, price=float(price), margin=float(self.margins[self.now[row]]), earned=int(earned[row]))
        self.explore *= self.cool
