"""Orders that a tenant repeats after it found no lease."""

from __future__ import annotations

import numpy as np

from marketsim.chain.columns import Deployment, G, Group, Resource
from marketsim.chain.room import with_room
from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Call, Kind, Phase, Plan
from marketsim.money.pairs import from_pair, to_pair

REPEATED = 1_000_000_000
"""Sequence numbers of repeated deployments start here, above every first one of a tenant."""


def repeat_order(clock: BlockClock, plan: int, factor_ppm: int) -> Table | None:
    """Withdraw the deployment of `plan` and return the message of a new one with its ceiling times
    `factor_ppm` / 10^6; None if it never began.
    """
    chain, engine = clock.chain, clock.engine
    deployment = int(engine.plans[plan, Plan.DEPLOYMENT])
    if deployment < 0:
        return None
    clock.submit(Kind.CLOSE_DEPLOYMENT, Phase.CLOSE, deployment)
    group = int(chain.deployments[deployment, Deployment.FIRST_GROUP])
    first, units = int(chain.groups[group, Group.FIRST_RESOURCE]), int(chain.groups[group, Group.RESOURCES])
    chain = with_room(chain, resources=units, drafts=1)
    at, draft = int(chain.globals[G.RESOURCES]), int(chain.globals[G.DRAFTS])
    rows = chain.resources[at : at + units]
    rows[:] = chain.resources[first : first + units]
    for row in rows:
        price = from_pair(int(row[Resource.PRICE]), int(row[Resource.PRICE_ATTO])) * factor_ppm // 1_000_000
        row[Resource.PRICE], row[Resource.PRICE_ATTO] = to_pair(price)
    chain.drafts[draft] = (0, chain.groups[group, Group.SPEC], at, units)
    chain.globals[G.RESOURCES] += units
    chain.globals[G.DRAFTS] += 1
    new_plan = len(engine.plans)
    plans = np.concatenate([engine.plans, engine.plans[plan : plan + 1]])
    plans[new_plan, Plan.DEPLOYMENT] = -1
    plans[new_plan, Plan.TOP_UPS_USED] = 0
    clock.chain = chain
    clock.engine = engine._replace(plans=plans)
    deposit = int(chain.globals[G.DEPLOYMENT_MIN_DEPOSIT])
    message = np.zeros((1, Call.SIZE), np.int64)
    now = int(clock.env.now)
    message[0, Call.KEY] = clock.height_of(now) * 16 + Phase.ARRIVE
    message[0, Call.TIME] = now
    message[0, Call.TIE] = new_plan
    message[0, Call.KIND] = Kind.ARRIVE
    message[0, Call.A] = new_plan
    message[0, Call.B] = max(deposit, int(engine.plans[plan, Plan.DEPOSIT]))
    message[0, Call.C] = draft
    message[0, Call.D] = 1
    message[0, Call.E] = REPEATED + new_plan
    return message


__all__ = ["repeat_order"]
