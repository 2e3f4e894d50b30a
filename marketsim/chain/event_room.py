"""Room for events: how many a message about a deployment may cause, counted before it is carried out."""

from __future__ import annotations

from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled

EVENTS_AN_END = 4
"""Events of a group, order, bid or lease that ends, and of a group or order that is opened."""
EVENTS_A_PAYMENT = 24
"""Events of a payment: at most four times it is settled (a share, what is missing, two parts), reported, expired, ended and followed."""
EVENTS_MORE = 64
"""Events of the message itself, its fee, the deployment and what its account gets."""


@compiled
def events_of(s: State, deployment: int) -> int:
    """Return how many events a message about a deployment may cause: everything that it has may end. 0 where no events are kept."""
    if s.globals.event_mask == 0:
        return 0
    if deployment < 0:
        return EVENTS_MORE
    deployed = s.deployments[deployment]
    account = s.accounts[deployed.account]
    found = EVENTS_MORE + EVENTS_A_PAYMENT * (account.open + account.short + 1)
    deposit = account.first_deposit
    while deposit >= 0:
        found += 1
        deposit = s.deposits[deposit].next
    for group in range(deployed.first_group, deployed.first_group + deployed.groups):
        order = s.orders[s.groups[group].last_order]
        found += 4 * EVENTS_AN_END
        if s.globals.keep_bids == 0:
            found += EVENTS_AN_END * (order.bids_open + order.bids_active)
        else:
            bid = order.first_bid
            while bid >= 0:
                found += events_of_bid(s, bid)
                bid = s.bids[bid].next
    return int(found)


@compiled
def events_of_bid(s: State, bid: int) -> int:
    """Return how many events a bid's end may cause: one a deposit of its account, and a few."""
    found = EVENTS_AN_END
    if s.bids[bid].account >= 0:
        deposit = s.accounts[s.bids[bid].account].first_deposit
        while deposit >= 0:
            found += 1
            deposit = s.deposits[deposit].next
    return found
