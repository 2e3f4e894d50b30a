"""Random scenarios: any rule set, charging, escrow, quirks, strategies, faults, groups and messages by hand, small enough for plain Python.

The same number gives the same scenario, whatever else changes in this process.
"""

from __future__ import annotations

import random
from typing import Any

SDLS = ("web", "multi-placement", "multi-service", "database")
QUIRKS = ("losing_bids_stay", "max_bids_off_by_one")
OWN_QUIRKS = {
    "seed": ("open_orders_stay", "pause_open_order"),
    "virtengine": ("open_orders_stay", "pause_open_order", "settle_same_height", "payment_create_loses"),
    "akash": ("settle_same_height", "payment_create_loses"),
}
OFTEN = ("create_deployment", "create_bid", "create_lease")
SELDOM = (
    "close_bid", "close_lease", "withdraw", "account_deposit", "close_group", "pause_group", "start_group", "close_deployment", "grant",
    "block_provider", "unblock_provider", "settle_escrow", "set_params", "submit_usage", "activate_lease", "create_provider",
    "update_deployment",
)  # fmt: skip
UNIT = {"count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}


def scenario_of(number: int) -> dict[str, Any]:
    """Return a scenario as a mapping; files that it names lie in `scenarios/`."""
    chance = random.Random(f"differential/{number}")
    pick, some = chance.choice, chance.random
    rules = pick(("seed", "seed", "virtengine", "akash"))
    blocks = pick((60, 150, 300))
    data: dict[str, Any] = {
        "name": f"random-{number}",
        "seed": chance.randrange(10**6),
        "rules": rules,
        "horizon": f"{blocks} blocks",
        "record": pick(("summary", "orders", "everything", "everything")),
        "charging": pick(("rate", "usage_capped", "usage", "ve_settlement")),
        "tie": pick(("hash", "provider_index")),
        "reserve": pick(("at_bid", "at_acceptance")),
        "price_rounding": pick(("half_even", "floor")),
        "order_max_bids": pick((1, 3, 20)),
        "bid_min_deposit": pick(("0uve", "10uve", "500uve")),
        "deployment_min_deposit": pick(("1uve", "500uve")),
        "bid_window": pick(("1 blocks", "5 blocks", "10 blocks")),
        "take": pick((0, 0.02, 0.3, 1)),
        "network_fees": some() < 0.4,
        "usage_every": pick(("7 blocks", "50 blocks")),
        "withdraw_every": pick(("5 blocks", "40 blocks")),
        "warm_up": pick(("0 blocks", "20 blocks")),
        "block_time": pick(("6s", "6s", "1s", "1500ms")),
        "initial": pick((0, 0, 0.3)),
    }
    if rules == "akash":
        pick((0, 1, 2))  # three ways of charging once: what is drawn below stays as it was
        data["charging"] = "rate"
        data["escrow"] = pick(("sequential", "proportional"))
    if rules == "virtengine" and data["charging"] != "ve_settlement":
        data["charging"] = "rate"
    own = OWN_QUIRKS[rules] if data["charging"] != "ve_settlement" else OWN_QUIRKS["seed"]
    if data.get("escrow") == "proportional":
        own = ()
    if rules == "seed":
        data["order_timeout"] = pick(("3 blocks", "20 blocks", "100 blocks"))
        if data["charging"] != "ve_settlement":
            data["settle_every"] = pick(("1 blocks", "13 blocks", "100 blocks"))
            data["grace"] = pick(("0 blocks", "5 blocks", "40 blocks"))
    if some() < 0.4:
        data["quirks"] = [quirk for quirk in (*QUIRKS, *own) if some() < 0.5] or ["losing_bids_stay"]
    data["tenants"] = [tenants_of(chance, f"t{at}", blocks) for at in range(pick((1, 1, 2)))]
    data["providers"] = [providers_of(chance, f"p{at}") for at in range(pick((1, 2, 3)))]
    if some() < 0.4:
        data["faults"] = [
            {"at": f"{chance.randint(1, blocks)} blocks", "provider": "p0/0", "kind": kind}
            | ({"lasts": "9 blocks"} if kind == "outage" else {})
            for kind in chance.choices(("outage", "block", "unblock"), k=2)
        ]
    if some() < 0.4:
        params = pick(({"order_max_bids": 400}, {"order_max_bids": 1}, {"take_percent": 7}, {"bid_min_deposit": 3}))
        data["governance"] = [{"height": chance.randint(1, blocks), "op": "set_params", "params": params}]
    if some() < 0.4:
        data["start"] = {
            "wallets": {"ada": 10**7, "ben": 3_000, "north": 10**6, "south": 900},
            "providers": {"north": {}, "south": {}},
        }
        data["messages"] = messages_of(chance, blocks, pick((5, 20, 40)))
    if random.Random(f"means/{number}").random() < 0.6:
        give_means(data)
    give_faults(data, random.Random(f"faults/{number}"), blocks)
    return data


def give_faults(data: dict[str, Any], chance: random.Random, blocks: int) -> None:
    """Let more go wrong in a third of the markets: faults of every kind that the rules allow, one after the other or at once."""
    if chance.random() > 0.35:
        return
    kinds: dict[str, dict[str, Any]] = {
        "outage": {"share": 0.8, "closes": 0.5},
        "connectivity": {"cohort": "p0"},
        "workloads_fail": {"share": 1, "closes": 0.3},
        "escrow_drain": {"cohort": "t0"},
        "block": {"share": 0.5},
    }
    if data["rules"] != "seed":
        kinds["settlement"] = {"share": 1}
    if data["charging"] == "ve_settlement" or (data["rules"] == "seed" and data["charging"] != "rate"):
        kinds["usage"] = chance.choice(({"factor": 0.4, "share": 1}, {"delay": "20 blocks", "share": 1}, {"factor": 0, "cohort": "p0"}))
    faults = data.setdefault("faults", [])
    for kind in chance.choices(list(kinds), k=3):
        at = chance.randint(1, max(1, blocks - 2))
        faults.append({"at": f"{at} blocks", "lasts": f"{chance.randint(1, blocks)} blocks", "kind": kind, **kinds[kind]})
    if chance.random() < 0.5:
        data["providers"][0]["usage"] = chance.choice(("manual", {"factor": 0.5}, {"delay": "10 blocks"}))


def give_means(data: dict[str, Any]) -> None:
    """Take away what keeps most random markets from ever leasing: wallets without a deposit, bids after the choice, ceilings below cost."""
    data["bid_window"] = "10 blocks"
    if data["order_max_bids"] == 1:
        data["order_max_bids"] = 3
    if data.get("order_timeout") == "3 blocks":
        data["order_timeout"] = "100 blocks"
    for tenants in data["tenants"]:
        tenants.update(wallet="5000VE", never_choose=0, patience="100 blocks", deploy_delay="0 blocks")
        if "ceiling" in tenants:
            tenants["ceiling"] = {"times_cost": {"uniform": [2, 9]}}
        if isinstance(tenants["deposit"], str):
            tenants["deposit"] = "90000uve"
        if "cpu" in tenants["order"]:
            tenants["order"]["gpu"] = 0
    for providers in data["providers"]:
        providers.update(wallet="200VE", latency={"uniform": ["0s", "3s"]})
        providers.get("config", {}).pop("filters", None)


def law_of(chance: random.Random, unit: str, low: int, high: int) -> Any:
    """A value with a unit, or a distribution of some."""
    a, b = sorted((chance.randint(low, high), chance.randint(low, high)))
    return chance.choice((f"{a}{unit}", {"uniform": [f"{a}{unit}", f"{b}{unit}"]}, {"exponential": {"mean": f"{max(a, 1)}{unit}"}}))


def tenants_of(chance: random.Random, name: str, blocks: int) -> dict[str, Any]:
    """A cohort of tenants."""
    pick, some = chance.choice, chance.random
    sizes: dict[str, Any] = {
        "cpu": pick((500, {"uniform": [100, 6000]})), "memory": pick(("512Mi", "3Gi")), "storage": "1Gi", "gpu": pick((0, 0, 1)),
    }  # fmt: skip
    if some() < 0.2:
        sizes["region"] = {"choice": {"values": ["east", "west", None], "weights": [1, 1, 1]}}
    data: dict[str, Any] = {
        "name": name,
        "count": pick((1, 3, 10)),
        "wallet": pick(("900uve", "50000uve", "5000VE")),
        "demand": {"orders": chance.randint(1, 25), "within": f"{chance.randint(1, blocks)} blocks"},
        "order": sizes if some() < 0.7 else {"sdl": [{"sdl": f"sdl/{sdl}.yaml"} for sdl in chance.sample(SDLS, 2)]},
        "duration": law_of(chance, " blocks", 1, 200),
        "deposit": pick(({"blocks": pick((1, 5, 40, 2000))}, f"{pick((1, 600, 90_000))}uve", {"price_blocks": 30})),
        "deploy_delay": law_of(chance, " blocks", 0, 60),
        "restart": {"probability": pick((0, 0.5, 1)), "delay": "2 blocks"},
        "never_choose": pick((0, 0, 0.3)),
        "utilization": pick((0, 0.5, 1, {"uniform": [0, 1.5]})),
        "patience": pick(("5 blocks", "100 blocks")),
        "choice": pick(("lowest_price", {"score": {"price": 1, "uptime": 0.5, "audit": -1}}, {"random_among_cheapest": 3})),
    }
    if "sdl" not in data["order"]:
        data["ceiling"] = pick(({"times_cost": {"uniform": [0.5, 9]}}, "5000uve", "0.7uve"))
    if some() < 0.3:
        data["terminate_after"] = law_of(chance, " blocks", 0, 90)
    if some() < 0.5:
        data["top_up"] = pick((
            {"when_blocks_left": pick((1, 9)), "blocks": pick((1, 20)), "times": 3, "delay": "1 blocks"},
            {"after_depletion": {"delay": pick(("1 blocks", "9 blocks"))}, "blocks": 10, "probability": 0.8},
        ))  # fmt: skip
    if some() < 0.2:
        data["react"] = {"retry": 2, "raise_ceiling": 1.5}
    return data


def providers_of(chance: random.Random, name: str) -> dict[str, Any]:
    """A cohort of providers."""
    pick, some = chance.choice, chance.random
    data: dict[str, Any] = {
        "name": name,
        "count": pick((1, 2, 9)),
        "wallet": pick(("30uve", "9000uve", "200VE")),
        "latency": law_of(chance, "s", 0, 90),
        "attributes": {"tier": "a"},
    }
    if some() < 0.2:
        data["nodes"] = [{"count": pick((1, 3)), "cpu": 8000, "memory": "16Gi", "storage": "1Ti", "gpu": pick((0, 1))}]
    else:
        data["capacity"] = {"cpu": pick((4000, {"uniform": [1000, 64000]})), "memory": "64Gi", "storage": "1Ti", "gpu": pick((0, 2))}
    if some() < 0.5:
        price = pick(("0.001uve", "0.000000000000000001uve", "0.0123456789uve"))
        engine = {
            "min_profit_margin": pick((0, 12.5)), "max_concurrent_bids": pick((1, 3, 50)),
            "bid_timeout": pick(("3s", "1m", "5m")), "pricing": {"cpu_millicores": price},
        }  # fmt: skip
        data["config"] = {"bid_engine": engine}
        kind = pick(("cost_plus", "undercut", "random_range", {"utilization": {"low": 0.5, "high": 2}}))
        if kind != "cost_plus":
            data["strategy"] = kind
        if some() < 0.3:
            data["config"]["filters"] = {"max_cpu": 3000, "min_order_value": "100uve"}
    else:
        data["strategy"] = pick(("monthly_targets", {"scale": {"cpu": "0.002uve", "endpoint": "3uve"}}))
    if some() < 0.3:
        data["repricing"] = {"every": "15 blocks", "high": 0.5, "low": 0.2, "up": 1.3, "down": 0.7}
    if some() < 0.2:
        data["spread"] = 0.2
    if some() < 0.2:
        data["rate_limit"] = {"per_minute": 3, "per_hour": 20}
    if some() < 0.3:
        data["outages"] = {"every": "60 blocks", "lasts": "9 blocks", "closes": pick((0, 0.5, 1))}
    if some() < 0.3:
        data["leave"] = {"mean": "80 blocks"}
    if some() < 0.2:
        data["lease_capacity"] = 2
    if some() < 0.3:
        data["regions"] = ["east", "west"]
    if some() < 0.2:
        data["overcommit"] = {"cpu": 2}
    return data


def messages_of(chance: random.Random, blocks: int, count: int) -> list[dict[str, Any]]:
    """Messages by hand, most of them about what exists."""
    pick = chance.choice
    heights = sorted(chance.randint(1, blocks) for _ in range(count))
    found = []
    for height in heights:
        deployment = f"{pick(('ada', 'ada', 'ben'))}/{chance.randint(1, 3)}"
        group = f"{deployment}/{chance.randint(1, 2)}"
        bid = f"{group}/{pick((1, 1, 2))}/{pick(('north', 'south', 'p0-0'))}"
        found.append({"height": height} | message_of(chance, deployment, group, bid))
    return found


def message_of(chance: random.Random, deployment: str, group: str, bid: str) -> dict[str, Any]:
    """One message by hand about a deployment, a group of it and a bid on the group's order."""
    pick = chance.choice
    owner, provider = deployment.partition("/")[0], bid.rpartition("/")[2]
    op = pick(OFTEN * 3 + SELDOM)
    amount, sources = pick(("1", "600", "50000")), pick((["balance"], ["grant", "balance"]))
    if op == "create_deployment":
        many = pick((1, 2, 2, 3, 90))
        groups = [{"name": f"g{at}", "resources": [UNIT | {"price": pick(("5", "50", "0.5"))}] * pick((1, 2))} for at in range(many)]
        return {"op": op, "id": deployment, "deposit": amount, "sources": sources, "hash": "a", "groups": groups}
    if op == "create_bid":
        price = pick(("4", "0.3", "0.000000000000000001"))
        return {"op": op, "id": bid, "price": price, "deposit": pick(("500", "0")), "sources": sources}
    if op == "close_bid":
        return {"op": op, "id": bid, "reason": pick((0, 10000, 10003))}
    if op in {"create_lease", "close_lease", "withdraw", "activate_lease"}:
        return {"op": op, "id": bid}
    if op in {"close_group", "pause_group", "start_group"}:
        return {"op": op, "id": group}
    if op == "account_deposit":
        return {"op": op, "id": pick((deployment, bid)), "signer": pick((owner, "north")), "deposit": amount, "sources": sources}
    if op == "grant":
        return {"op": op, "granter": "north", "signer": owner, "limit": amount, "scopes": ["deployment", "bid"]}
    if op in {"block_provider", "unblock_provider", "create_provider"}:
        return {"op": op, "provider": pick((provider, "west"))} | ({"attributes": {}} if op == "create_provider" else {})
    if op == "set_params":
        return {"op": op, "params": pick(({"order_max_bids": 300}, {"take_percent": 3}, {"bid_min_deposit": 0}))}
    if op == "submit_usage":
        return {"op": op, "id": bid, "metrics": {"cpu": chance.randint(0, 900)}}
    if op == "update_deployment":
        return {"op": op, "id": deployment, "hash": pick("ab")}
    return {"op": op, "id": deployment}
