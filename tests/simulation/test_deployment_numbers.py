"""A tenant's deployments are numbered by the height of their creation, each above the one before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from marketsim.kernel.table_set import rows_of
from marketsim.market.tables import PHASES, Call, Phase, Plan
from marketsim.simulation.build import number_deployments

BLOCK_MS = 6_000
DEPLOYMENT = st.tuples(st.integers(3, 6), st.integers(1, 40_000), st.integers(0, (1 << 63) - 1))


@given(st.lists(DEPLOYMENT, max_size=40, unique_by=lambda each: each[2]), st.integers(0, 40), st.sampled_from([0, 1 << 16, 1 << 48]))
def test_each_is_created_at_its_height_or_behind_the_one_before(deployments: list[tuple[int, int, int]], split: int, more: int) -> None:
    """`more` tenants stand before these."""
    deployments = [(tenant + more, time, tie) for tenant, time, tie in deployments]
    calls, plans = rows_of(len(deployments), Call), rows_of(len(deployments), Plan)
    for call, plan, (tenant, time, tie) in zip(calls, plans, deployments, strict=True):
        call.key, call.time, call.tie = max(-(-time // BLOCK_MS), 1) * PHASES + Phase.ARRIVE, time, tie
        plan.tenant = tenant
    wallets = range(more + 3, more + 7)
    latest = number_deployments(calls[split:], plans[split:], wallets, number_deployments(calls[:split], plans[:split], wallets))
    last: dict[int, int] = {}
    wanted = {}
    for tenant, time, tie in [*sorted(deployments[:split]), *sorted(deployments[split:])]:
        last[tenant] = wanted[tie] = max(-(-time // BLOCK_MS), last.get(tenant, 0) + 1)
    assert latest == last
    assert dict(zip(calls[:, Call.tie].tolist(), calls[:, Call.dseq].tolist(), strict=True)) == wanted
