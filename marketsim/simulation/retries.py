"""Orders that a tenant repeats after it found no lease."""

from __future__ import annotations

from marketsim.chain.columns import Resource
from marketsim.chain.events import hash64
from marketsim.chain.room import with_room
from marketsim.kernel.rows import as_rows
from marketsim.kernel.table_set import Table, appended, rows_of
from marketsim.market.clock import BlockClock
from marketsim.market.tables import PHASES, Call, Kind, Phase, Plan
from marketsim.money.pairs import from_pair, to_pair
from marketsim.money.units import PPM

SALT_REPEATED = 24


def repeat_order(clock: BlockClock, plan: int, factor_ppm: int) -> Table | None:
    """Withdraw the deployment of `plan` and return the message of a new one with its ceiling times
    `factor_ppm` / 10^6; None if it never began.
    """
    chain, engine = clock.chain, clock.engine
    deployment = int(engine.plans[plan].deployment)
    if deployment < 0:
        return None
    clock.submit(Kind.CLOSE_DEPLOYMENT, Phase.CLOSE, deployment=deployment, tie=int(engine.plans[plan].key))
    group = int(chain.deployments[deployment].first_group)
    first, units = int(chain.groups[group].first_resource), int(chain.groups[group].resources)
    chain = with_room(chain, resources=units, drafts=1)
    at, draft = int(chain.globals.resources), int(chain.globals.drafts)
    rows = chain.resources[at : at + units]
    rows[:] = chain.resources[first : first + units]
    for row in rows:
        price = from_pair(int(row[Resource.price]), int(row[Resource.price_atto])) * factor_ppm // PPM
        row[Resource.price], row[Resource.price_atto] = to_pair(price)
    chain.drafts[draft] = (0, chain.groups[group].spec, at, units)
    chain.globals.resources += units
    chain.globals.drafts += 1
    new_plan = len(engine.plans)
    plans = appended(engine.plans, engine.plans[plan : plan + 1])
    plans[new_plan, Plan.deployment] = -1
    plans[new_plan, Plan.key] = hash64(int(plans[plan, Plan.key]), SALT_REPEATED, 0, 0)
    plans[new_plan, Plan.top_ups_used] = 0
    clock.chain = chain
    clock.engine = engine._replace(plans=as_rows(Plan, plans))
    deposit = int(chain.globals.deployment_min_deposit)
    message = rows_of(1, Call)
    now = int(clock.env.now)
    message[0].key = clock.height_of(now) * PHASES + Phase.ARRIVE
    message[0].time = now
    message[0].tie = plans[new_plan, Plan.key]
    message[0].kind = Kind.ARRIVE
    message[0].plan = new_plan
    message[0].deposit = max(deposit, int(engine.plans[plan].deposit))
    message[0].first_draft = draft
    message[0].drafts = 1
    message[0].dseq = clock.height_of(now)
    return message


__all__ = ["repeat_order"]
