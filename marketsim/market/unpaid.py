"""What a provider does about a lease that can earn nothing more under charging `ve_settlement`: it leaves."""

from __future__ import annotations

from marketsim.chain.columns import EscrowRule, PaymentState
from marketsim.chain.escrow.usage_accounts import is_spent
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.market.calendar import push
from marketsim.market.desks import lease_key, tie_of
from marketsim.market.tables import Engine, Kind, Phase


@compiled
def leave_unpaid(s: State, e: Engine, height: int, account: int) -> None:
    """Date the leaving of the account's spent leases for the next block; only desks that run an engine look.

    The chain would let such a lease run on for ever: its usage escrow lives on at 0, and no message adds to it.
    """
    if s.globals.escrow != EscrowRule.USAGE or height >= e.globals.horizon:
        return
    lease = s.accounts[account].first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN and is_spent(s, lease):
            if e.desks[p.slot].enabled == 1:
                push(e, height + 1, Phase.CLOSE, tie_of(e, Kind.LEAVE, lease_key(s, e, lease)), Kind.LEAVE, lease)
        lease = p.next
