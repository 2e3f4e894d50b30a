"""A provider's usage records: who may report what, and when (rules.md 3; protocol reference 5.3)."""

from __future__ import annotations

from marketsim.chain.cascades import follow
from marketsim.chain.columns import PaymentState
from marketsim.chain.escrow.messages import record_usage
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled

SUSPICIOUS = 50
"""The fraud score from which a record is invalid."""
_MINUTE = 60
_LONGEST = 25 * 3600


@compiled
def is_above(used: int, halves: int, reserved: int, seconds: int) -> bool:
    """Return whether used > halves / 2 x reserved x seconds, without forming products that could wrap;
    seconds > 0."""
    limit = halves * reserved
    whole, rest = used // seconds, used % seconds
    if whole != limit // 2:
        return whole > limit // 2
    return rest > 0 if limit % 2 == 0 else 2 * rest > seconds


@compiled
def fraud_score(s: State, h: int, lease: int, since: int, until: int, cpu: int, memory: int, storage: int, gpu: int) -> int:
    """Score a record of the blocks since..until: too short, too long, in the future, beyond the
    allocation, negative (a time that ends before it began, too), instantaneous."""
    usage = s.leases[lease].usage
    seconds = (until - since) * s.globals.block_ms // 1000
    score = 0
    if cpu < 0 or memory < 0 or storage < 0 or gpu < 0 or until < since:
        score += 100
    if until > h:
        score += 100
    if seconds < _MINUTE:
        score += 30
    if seconds > _LONGEST:
        score += 50
    if seconds <= 0:
        return score + 80 if cpu > 0 or memory > 0 or storage > 0 or gpu > 0 else score
    if is_above(cpu, 4, s.usage[usage].reserved_cpu, seconds):
        score += 40
    if is_above(memory, 3, s.usage[usage].reserved_memory, seconds):
        score += 40
    return score


@compiled
def submit_usage(
    s: State,
    h: int,
    lease: int,
    signer: int,
    since: int,
    until: int,
    cpu: int,
    memory: int,
    storage: int,
    gpu: int,
) -> Status:
    """Provider: report what a lease used between two heights: cpu milliseconds, byte-seconds twice, gpu
    seconds.

    It does not settle. A record that ends more than `usage_grace` blocks ago is refused and lost. A
    lease that is not metered (charging rate) takes none.
    """
    if lease < 0:
        return Status.UnknownLease
    p = s.leases[lease]
    if signer != p.provider:
        return Status.Unauthorized
    usage = p.usage
    if usage < 0 or fraud_score(s, h, lease, since, until, cpu, memory, storage, gpu) >= SUSPICIOUS:
        return Status.UsageInvalid
    if p.payment != PaymentState.OPEN:
        return Status.LeaseNotActive
    if since < s.usage[usage].until:
        return Status.UsageOverlap
    if h > until + s.globals.usage_grace:
        return Status.UsageTooLate
    account = p.account
    short = s.accounts[account].short
    status = record_usage(s, h, lease, cpu, memory, storage, gpu)
    follow(s, h, account, short)
    if status == Status.Ok:
        s.usage[usage].until = until
    return status
