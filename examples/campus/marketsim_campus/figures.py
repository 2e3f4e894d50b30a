"""A metric: how much of the market happens at night."""


def night_share(run, begins=22, ends=6):
    """The share of leases that were made between two hours of the day, in all and by cohort of tenants; None where there were none."""
    leases = run.frame("leases")
    scenario = run.record.meta["scenario"]
    blocks_an_hour = 3600 / float(str(scenario["block_time"]).removesuffix("s"))
    hours = (leases["created_at"] / blocks_an_hour) % 24
    at_night = (hours >= begins) | (hours < ends)
    by_cohort = at_night.groupby(leases["tenant_cohort"], observed=True).mean()
    return {"all": float(at_night.mean()) if len(leases) else None} | {name: float(share) for name, share in by_cohort.items()}
