"""Providers, grants and parameters: the messages that change who may act and by which figures, one
ladder each.

`authority` is 1 when the message comes from governance. Rows that one call adds at most:
create_provider 1 of providers (none when the wallet had one before), grant 1 of grants, others none;
events 1.
"""

from __future__ import annotations

from marketsim.chain.columns import EventKind, G, Rules, Scope
from marketsim.chain.events import emit
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.money.units import PPM

MAX_BIDS_LIMIT = 500


@compiled
def create_provider(s: State, h: int, wallet: int) -> Status:
    """Register a wallet as a provider; one that was deleted gets its old row again."""
    if s.wallets[wallet].provider >= 0:
        return Status.ProviderExists
    slot = 0
    g = s.globals
    while slot < g.providers and s.providers[slot].wallet != wallet:
        slot += 1
    registered = s.providers[slot]
    if slot == g.providers:
        g.providers = slot + 1
        registered.wallet = wallet
        registered.id = s.wallets[wallet].id
        registered.blocked = 0
        registered.active_leases = 0
    registered.registered = 1
    s.wallets[wallet].provider = slot
    return Status.Ok


@compiled
def update_provider(s: State, h: int, wallet: int) -> Status:
    """Answer whether a provider may replace its attributes, which the edge holds; active leases do not
    matter."""
    if s.wallets[wallet].provider < 0:
        return Status.ProviderNotFound
    return Status.Ok


@compiled
def delete_provider(s: State, h: int, wallet: int) -> Status:
    """Take a provider off the register; its bids and their deposits stay."""
    slot = s.wallets[wallet].provider
    if slot < 0:
        return Status.ProviderNotFound
    if s.globals.rules == Rules.AKASH:
        return Status.NotImplemented
    if s.providers[slot].active_leases > 0:
        return Status.ProviderHasActiveLeases
    s.providers[slot].registered = 0
    s.wallets[wallet].provider = -1
    return Status.Ok


@compiled
def block_provider(s: State, h: int, authority: int, slot: int) -> Status:
    """Governance: refuse a provider's new bids (ProviderBlocked); its leases run on."""
    if authority != 1:
        return Status.Unauthorized
    if slot < 0:
        return Status.ProviderNotFound
    s.providers[slot].blocked = 1
    s.globals.blockings += 1
    emit(s, EventKind.PROVIDER_BLOCKED, slot, 0, 0, 0, 0)
    return Status.Ok


@compiled
def unblock_provider(s: State, h: int, authority: int, slot: int) -> Status:
    """Governance: let a blocked provider bid again."""
    if authority != 1:
        return Status.Unauthorized
    if slot < 0:
        return Status.ProviderNotFound
    s.providers[slot].blocked = 0
    s.globals.blockings += 1
    emit(s, EventKind.PROVIDER_UNBLOCKED, slot, 0, 0, 0, 0)
    return Status.Ok


@compiled
def grant(s: State, h: int, granter: int, grantee: int, limit: int, scopes: int) -> Status:
    """Let the grantee pay deposits from the granter's wallet, up to `limit` whole uve; replaces an
    earlier grant of the pair.

    `scopes` is a sum of Scope.DEPLOYMENT and Scope.BID.
    """
    if limit < 0:
        return Status.InvalidDeposit
    if scopes < Scope.DEPLOYMENT or scopes > Scope.DEPLOYMENT + Scope.BID:
        return Status.InvalidAuthzScope
    row = 0
    g = s.globals
    while row < g.grants and not (s.grants[row].granter == granter and s.grants[row].grantee == grantee):
        row += 1
    granted = s.grants[row]
    if row == g.grants:
        g.grants = row + 1
        granted.granter = granter
        granted.grantee = grantee
    granted.limit = limit
    granted.scopes = scopes
    return Status.Ok


@compiled
def check_param(s: State, authority: int, param: int, value: int) -> Status:
    """Answer what `set_param` would, changing nothing: a message with several parameters is refused as
    a whole."""
    if authority != 1:
        return Status.Unauthorized
    if value < param_min(param) or value > param_max(param):
        return Status.InvalidParam
    return Status.Ok


@compiled
def param_min(param: int) -> int:
    """Return the least value of a parameter (a member of G)."""
    if param in (G.order_max_bids, G.settle_every):
        return 1
    return 0


@compiled
def param_max(param: int) -> int:
    """Return the largest value of a parameter (a member of G); -1 for what is no parameter."""
    if param == G.order_max_bids:
        return MAX_BIDS_LIMIT
    if param == G.take_ppm:
        return PPM
    if param in (G.bid_min_deposit, G.deployment_min_deposit):
        return 1 << 60
    if param in (G.settle_every, G.grace, G.order_timeout, G.usage_grace):
        return 1 << 40
    if param in (G.window_min_seconds, G.window_max_seconds):
        return 1 << 40
    return -1


@compiled
def set_param(s: State, h: int, authority: int, param: int, value: int) -> Status:
    """Governance: set one parameter (a member of G), from the next message on."""
    status = check_param(s, authority, param, value)
    if status != Status.Ok:
        return status
    s.globals[param] = value
    emit(s, EventKind.PARAMS_CHANGED, param, 0, value, 0, 0)
    return Status.Ok
