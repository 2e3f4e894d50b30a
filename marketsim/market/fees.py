"""Network fees of a simulated run: gas per message, measured on the real chain, paid to the fee collector."""

from __future__ import annotations

from marketsim.chain.columns import COLLECTOR_WALLET, EventKind
from marketsim.chain.events import emit
from marketsim.chain.ledger import move
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.market.tables import Kind
from marketsim.money.units import NANO

GAS_REFUSED = 40_000
GAS_DEPLOYMENT = 120_000
GAS_BID = 110_000
GAS_LEASE = 129_000
GAS_LOSING_BID = 31_000
"""Of each bid that loses when a lease is made."""
GAS_WITHDRAW = 116_000
GAS_DEPOSIT = 85_000
GAS_GROUP = 73_000
GAS_PAUSE_WITH_LEASE = 205_000
GAS_CLOSE_LEASE = 204_000
GAS_CLOSE_BID = 100_000
GAS_CLOSE_BID_WITH_LEASE = 208_000
GAS_CLOSE_DEPLOYMENT = 126_000
GAS_CLOSE_DEPLOYMENT_WITH_LEASE = 248_000


@compiled
def gas_of(kind: int, detail: int) -> int:
    """Return the gas of a message that succeeds (network fees of the rules page; recorded on a VirtEngine node).

    `detail` counts the losing bids of a new lease; for a closing message it is 1 when a lease ends with it, else 0.
    """
    if kind == Kind.ARRIVE:
        return GAS_DEPLOYMENT
    if kind == Kind.BIDS:
        return GAS_BID
    if kind == Kind.DECIDE:
        return GAS_LEASE + GAS_LOSING_BID * detail
    if kind == Kind.WITHDRAW:
        return GAS_WITHDRAW
    if kind == Kind.TOP_UP:
        return GAS_DEPOSIT
    if kind == Kind.START_GROUP:
        return GAS_GROUP
    if kind == Kind.PAUSE_GROUP:
        return GAS_PAUSE_WITH_LEASE if detail > 0 else GAS_GROUP
    if kind == Kind.CLOSE_LEASE:
        return GAS_CLOSE_LEASE
    if kind == Kind.LEAVE:
        return GAS_CLOSE_BID_WITH_LEASE if detail > 0 else GAS_CLOSE_BID
    return GAS_CLOSE_DEPLOYMENT_WITH_LEASE if detail > 0 else GAS_CLOSE_DEPLOYMENT


@compiled
def fee_of(s: State, gas: int) -> int:
    """Return the fee of `gas` in whole uve, rounded up as a wallet pays it."""
    price = s.globals.gas_price_atto
    nano = price // NANO
    return -(-(gas * nano) // NANO)


@compiled_inline
def can_afford(s: State, wallet: int, kind: int, detail: int, deposit: int) -> bool:
    """Return whether the wallet can pay a message's fee beside its deposit; always true where network fees are off.

    A wallet that cannot is refused: its message never reaches a block.
    """
    if s.globals.network_fees == 0:
        return True
    return bool(s.wallets[wallet].balance >= deposit + fee_of(s, gas_of(kind, detail)))


@compiled_inline
def charge(s: State, wallet: int, kind: int, refused: bool, detail: int) -> None:
    """Take the fee of an executed message from `wallet`, for which `can_afford` was asked before."""
    if s.globals.network_fees == 0:
        return
    gas = GAS_REFUSED
    if not refused:
        gas = gas_of(kind, detail)
    fee = fee_of(s, gas)
    move(s, wallet, COLLECTOR_WALLET, fee)
    s.globals.network_fees_paid += fee
    s.wallets[wallet].fees += fee
    emit(s, EventKind.NETWORK_FEE, wallet, kind, fee, 0, 0)
