"""Providers, grants and parameters: the messages that change who may act and by which figures, one
ladder each.

`authority` is 1 when the message comes from governance. Rows that one call adds at most:
create_provider 1 of providers (none when the wallet had one before), grant 1 of grants, others none;
events 1.
"""

from __future__ import annotations

from marketsim.chain.columns import EventKind, G, Grant, Provider, Rules, Scope, Wallet
from marketsim.chain.events import emit
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled

PPM = 1_000_000
MAX_BIDS_LIMIT = 500


@compiled
def create_provider(s: State, h: int, wallet: int) -> Status:
    """Register a wallet as a provider; one that was deleted gets its old row again."""
    if s.wallets[wallet, Wallet.PROVIDER] >= 0:
        return Status.ProviderExists
    slot = 0
    while slot < s.globals[G.PROVIDERS] and s.providers[slot, Provider.WALLET] != wallet:
        slot += 1
    if slot == s.globals[G.PROVIDERS]:
        s.globals[G.PROVIDERS] = slot + 1
        s.providers[slot, Provider.WALLET] = wallet
        s.providers[slot, Provider.BLOCKED] = 0
        s.providers[slot, Provider.ACTIVE_LEASES] = 0
    s.providers[slot, Provider.REGISTERED] = 1
    s.wallets[wallet, Wallet.PROVIDER] = slot
    return Status.Ok


@compiled
def update_provider(s: State, h: int, wallet: int) -> Status:
    """Answer whether a provider may replace its attributes, which the edge holds; active leases do not
    matter."""
    if s.wallets[wallet, Wallet.PROVIDER] < 0:
        return Status.ProviderNotFound
    return Status.Ok


@compiled
def delete_provider(s: State, h: int, wallet: int) -> Status:
    """Take a provider off the register; its bids and their deposits stay."""
    slot = s.wallets[wallet, Wallet.PROVIDER]
    if slot < 0:
        return Status.ProviderNotFound
    if s.globals[G.RULES] == Rules.AKASH:
        return Status.NotImplemented
    if s.providers[slot, Provider.ACTIVE_LEASES] > 0:
        return Status.ProviderHasActiveLeases
    s.providers[slot, Provider.REGISTERED] = 0
    s.wallets[wallet, Wallet.PROVIDER] = -1
    return Status.Ok


@compiled
def block_provider(s: State, h: int, authority: int, slot: int) -> Status:
    """Governance: refuse a provider's new bids (ProviderBlocked); its leases run on."""
    if authority != 1:
        return Status.Unauthorized
    if slot < 0:
        return Status.ProviderNotFound
    s.providers[slot, Provider.BLOCKED] = 1
    s.globals[G.BLOCKINGS] += 1
    emit(s, EventKind.PROVIDER_BLOCKED, slot, 0, 0, 0, 0)
    return Status.Ok


@compiled
def unblock_provider(s: State, h: int, authority: int, slot: int) -> Status:
    """Governance: let a blocked provider bid again."""
    if authority != 1:
        return Status.Unauthorized
    if slot < 0:
        return Status.ProviderNotFound
    s.providers[slot, Provider.BLOCKED] = 0
    s.globals[G.BLOCKINGS] += 1
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
    while row < s.globals[G.GRANTS] and not (s.grants[row, Grant.GRANTER] == granter and s.grants[row, Grant.GRANTEE] == grantee):
        row += 1
    if row == s.globals[G.GRANTS]:
        s.globals[G.GRANTS] = row + 1
        s.grants[row, Grant.GRANTER] = granter
        s.grants[row, Grant.GRANTEE] = grantee
    s.grants[row, Grant.LIMIT] = limit
    s.grants[row, Grant.SCOPES] = scopes
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
    if param in (G.ORDER_MAX_BIDS, G.SETTLE_EVERY):
        return 1
    return 0


@compiled
def param_max(param: int) -> int:
    """Return the largest value of a parameter (a member of G); -1 for what is no parameter."""
    if param == G.ORDER_MAX_BIDS:
        return MAX_BIDS_LIMIT
    if param == G.TAKE_PPM:
        return PPM
    if param in (G.BID_MIN_DEPOSIT, G.DEPLOYMENT_MIN_DEPOSIT):
        return 1 << 60
    if param in (G.SETTLE_EVERY, G.GRACE, G.ORDER_TIMEOUT, G.USAGE_GRACE):
        return 1 << 40
    if param in (G.WINDOW_MIN_SECONDS, G.WINDOW_MAX_SECONDS):
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
