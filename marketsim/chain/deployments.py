"""Messages of tenants about deployments and groups: one ladder each, in the order of precedence of
protocol reference 1.4.

Objects are rows, -1 where there is none. `h` is the height of the block, which the caller has also put
into G.height. A refusal changes nothing. Rows that one call adds at most (the caller makes room before,
`state.with_room`):

    create_deployment   deployments 1, groups and orders one a draft, accounts 1, deposits 1 + one a grant
    start_group         orders 1
    others              none
    events              4 an object ended (group, order, bid, lease), 8 a payment or deposit of the account
"""

from __future__ import annotations

from marketsim.chain.cascades import cascade_group, follow, has_quirk, open_order, set_group
from marketsim.chain.columns import (
    DeploymentState,
    EventKind,
    GroupState,
    LeaseState,
    OrderEnd,
    OrderState,
    Quirk,
    Reason,
    Rules,
    Scope,
)
from marketsim.chain.escrow.messages import account_close, account_open, can_collect, collect
from marketsim.chain.events import deployment_identity, emit, mix_sizes
from marketsim.chain.limits import (
    CPU_MAX,
    CPU_MIN,
    GPU_MAX,
    GROUP_UNITS_MAX,
    MEMORY_MAX,
    MEMORY_MIN,
    UNIT_PRICE_MAX,
    VOLUME_MAX,
    VOLUME_MIN,
)
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.money.pairs import add, times

LARGEST = 1 << 62
"""Where sums that no limit bounds (the storage of a group) stop growing."""


@compiled
def is_unit_valid(s: State, resource: int) -> bool:
    """Return whether one resource unit keeps the limits a unit has."""
    unit = s.resources[resource]
    cpu = unit.cpu
    memory = unit.memory
    gpu = unit.gpu
    price = unit.price
    price_atto = unit.price_atto
    if cpu < CPU_MIN or cpu > CPU_MAX:
        return False
    if gpu < 0 or gpu > GPU_MAX:
        return False
    if gpu == 0 and unit.gpu_attributes != 0:
        return False
    if memory < MEMORY_MIN or memory > MEMORY_MAX:
        return False
    if unit.smallest_volume < VOLUME_MIN:
        return False
    if unit.largest_volume > VOLUME_MAX:
        return False
    if unit.count < 0:
        return False
    return bool(price >= 0 and (price < UNIT_PRICE_MAX or (price == UNIT_PRICE_MAX and price_atto == 0)))


@compiled
def is_draft_valid(s: State, draft: int) -> bool:
    """Return whether a group has a name, units within their limits, and totals within 50 times the
    limits of a unit.

    The count of a unit is not looked at by itself: 0 passes when another unit makes the totals
    positive.
    """
    drafted = s.drafts[draft]
    if drafted.name < 0:
        return False
    cpu = 0
    memory = 0
    gpu = 0
    first = drafted.first_resource
    for resource in range(first, first + drafted.resources):
        if not is_unit_valid(s, resource):
            return False
        unit = s.resources[resource]
        count = unit.count
        # The smallest unit of cpu is 10 millicores: a count beyond this is over the total, and below it
        # nothing can wrap.
        if count > GROUP_UNITS_MAX * CPU_MAX // CPU_MIN:
            return False
        cpu += count * unit.cpu
        memory += count * unit.memory
        gpu += count * unit.gpu
        if cpu > GROUP_UNITS_MAX * CPU_MAX or memory > GROUP_UNITS_MAX * MEMORY_MAX or gpu > GROUP_UNITS_MAX * GPU_MAX:
            return False
    return cpu > 0 and memory > 0


@compiled
def are_drafts_valid(s: State, first_draft: int, drafts: int) -> bool:
    """Return whether every group of the message keeps the limits."""
    draft = first_draft
    while draft < first_draft + drafts and is_draft_valid(s, draft):
        draft += 1
    return draft == first_draft + drafts


@compiled
def are_names_unique(s: State, first_draft: int, drafts: int) -> bool:
    """Return whether no two groups of the message share a name."""
    for draft in range(first_draft, first_draft + drafts):
        for other in range(first_draft, draft):
            if s.drafts[draft].name == s.drafts[other].name:
                return False
    return True


@compiled
def is_window_outside(s: State, window: int) -> bool:
    """Return whether a reclamation window in seconds lies outside the parameters, bounds included."""
    return bool(window < s.globals.window_min_seconds or window > s.globals.window_max_seconds)


@compiled
def open_group(s: State, h: int, deployment: int, gseq: int, draft: int) -> None:
    """Make a group from its draft, open, with its first order. The draft's resource rows become the
    group's."""
    group = s.globals.groups
    s.globals.groups = group + 1
    drafted = s.drafts[draft]
    first = drafted.first_resource
    units = drafted.resources
    price, price_atto = 0, 0
    cpu, memory, storage, gpu = 0, 0, 0, 0
    for resource in range(first, first + units):
        unit = s.resources[resource]
        count = unit.count
        more, more_atto = times(unit.price, unit.price_atto, count)
        price, price_atto = add(price, price_atto, more, more_atto)
        cpu += count * unit.cpu
        memory += count * unit.memory
        gpu += count * unit.gpu
        volume = unit.storage
        if count > 0 and volume > (LARGEST - storage) // count:
            storage = LARGEST
        else:
            storage += count * volume
    asked = s.groups[group]
    asked.deployment = deployment
    asked.gseq = gseq
    asked.state = GroupState.OPEN
    asked.created_at = h
    asked.price = price
    asked.price_atto = price_atto
    asked.spec = drafted.spec
    asked.first_resource = first
    asked.resources = units
    asked.cpu = cpu
    asked.memory = memory
    asked.storage = storage
    asked.gpu = gpu
    asked.orders = 0
    asked.closed_orders = 0
    asked.last_order = -1
    emit(s, EventKind.GROUP_OPENED, group, deployment, 0, 0, 0)
    mix_sizes(s, group)
    open_order(s, h, group)


@compiled
def create_deployment(
    s: State,
    h: int,
    owner: int,
    dseq: int,
    existing: int,
    deposit: int,
    sources: int,
    hash_id: int,
    window: int,
    first_draft: int,
    drafts: int,
) -> Status:
    """Tenant: open a deployment with its groups, one order a group, and its funded escrow account.

    `existing` is the row of a deployment with this key, -1 when the key is new. `deposit` in whole uve,
    `sources` as digits of base 4 (1 balance, 2 grant, lowest first), `window` the notice asked for in
    seconds (akash; 0 = none). The groups are rows of `drafts`.
    """
    if drafts < 1:
        return Status.InvalidGroups
    if not are_drafts_valid(s, first_draft, drafts):
        return Status.Invalid
    if existing >= 0:
        return Status.DeploymentExists
    g = s.globals
    if deposit < g.deployment_min_deposit:
        return Status.InvalidDeposit
    if g.rules == Rules.AKASH and window != 0 and is_window_outside(s, window):
        return Status.InvalidReclamation
    if not are_names_unique(s, first_draft, drafts):
        return Status.InvalidGroups
    status = can_collect(s, owner, Scope.DEPLOYMENT, deposit, sources)
    if status != Status.Ok:
        return status
    deployment = g.deployments
    g.deployments = deployment + 1
    account = account_open(s, h, Scope.DEPLOYMENT, deployment, owner)
    deployed = s.deployments[deployment]
    deployed.id = deployment_identity(s, owner, dseq)
    deployed.by_hand = 0
    s.accounts[account].id = deployed.id
    deployed.owner = owner
    deployed.dseq = dseq
    deployed.state = DeploymentState.ACTIVE
    deployed.created_at = h
    deployed.closed_at = 0
    deployed.account = account
    deployed.first_group = g.groups
    deployed.groups = drafts
    deployed.hash = hash_id
    deployed.window = window
    emit(s, EventKind.DEPLOYMENT_CREATED, deployment, account, 0, 0, 0)
    collect(s, h, account, owner, Scope.DEPLOYMENT, deposit, sources)
    for at in range(drafts):
        open_group(s, h, deployment, at + 1, first_draft + at)
    return Status.Ok


@compiled
def update_deployment(s: State, h: int, deployment: int, hash_id: int) -> Status:
    """Tenant: replace the manifest hash; nothing else of a deployment ever changes."""
    if deployment < 0:
        return Status.DeploymentNotFound
    deployed = s.deployments[deployment]
    if deployed.state != DeploymentState.ACTIVE:
        return Status.DeploymentClosed
    if deployed.hash == hash_id:
        return Status.InvalidHash
    deployed.hash = hash_id
    return Status.Ok


@compiled
def close_deployment(s: State, h: int, deployment: int) -> Status:
    """Tenant: close the escrow account; groups, orders, bids and leases end with it."""
    if deployment < 0:
        return Status.DeploymentNotFound
    if s.deployments[deployment].state != DeploymentState.ACTIVE:
        return Status.DeploymentClosed
    account = s.deployments[deployment].account
    short = s.accounts[account].short
    account_close(s, h, account)
    follow(s, h, account, short)
    return Status.Ok


@compiled
def end_group(s: State, h: int, group: int, state: int, keep_open: bool) -> None:
    """Pause or close a group, end what it has, then draw the consequences of what its settlement found."""
    account = s.deployments[s.groups[group].deployment].account
    short = s.accounts[account].short
    set_group(s, group, state)
    cascade_group(s, h, group, OrderEnd.CANCELLED, LeaseState.CLOSED, Reason.OWNER, keep_open)
    follow(s, h, account, short)


@compiled
def close_group(s: State, h: int, group: int) -> Status:
    """Tenant: close a group for good."""
    if group < 0:
        return Status.GroupNotFound
    if s.groups[group].state == GroupState.CLOSED:
        return Status.GroupClosed
    end_group(s, h, group, GroupState.CLOSED, has_quirk(s, Quirk.OPEN_ORDERS_STAY))
    return Status.Ok


@compiled
def pause_group(s: State, h: int, group: int) -> Status:
    """Tenant: end a group's order and lease but keep the group; the deployment and its funds stay."""
    if group < 0:
        return Status.GroupNotFound
    if s.groups[group].state == GroupState.CLOSED:
        return Status.GroupClosed
    if s.groups[group].state == GroupState.PAUSED:
        return Status.GroupPaused
    end_group(s, h, group, GroupState.PAUSED, has_quirk(s, Quirk.PAUSE_OPEN_ORDER))
    return Status.Ok


@compiled
def start_group(s: State, h: int, group: int) -> Status:
    """Tenant: open a paused or insufficient_funds group again with a new order. The deployment's own
    state is not looked at."""
    if group < 0:
        return Status.GroupNotFound
    asked = s.groups[group]
    if asked.state == GroupState.CLOSED:
        return Status.GroupClosed
    if asked.state == GroupState.OPEN:
        return Status.GroupOpen
    if s.orders[asked.last_order].state != OrderState.CLOSED:
        return Status.OrderActive
    set_group(s, group, GroupState.OPEN)
    open_order(s, h, group)
    return Status.Ok
