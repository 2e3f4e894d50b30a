"""A scenario as frozen values: every key with its default filled in by the rule set, checked when built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, StrictBool, ValidationInfo, field_validator, model_validator

from marketsim.chain.parsing import ARGUMENTS, NEEDED, OPERATIONS
from marketsim.errors import InputError
from marketsim.scenario.agent_cohorts import AgentCohort
from marketsim.scenario.distributions import Frozen, Window
from marketsim.scenario.faults import FAULT_KINDS, Fault
from marketsim.scenario.go_values import is_denom
from marketsim.scenario.html_lines import html_table
from marketsim.scenario.literals import (
    BlockTime,
    Coins,
    Count,
    Duration,
    Money,
    PositiveCount,
    PositiveNumber,
    PositiveSpan,
    Probability,
    Reading,
    Span,
    Text,
    exact,
    format_money,
    parse_coins,
    parse_money,
    shown,
)
from marketsim.scenario.own_metrics import OwnMetric
from marketsim.scenario.places import Places
from marketsim.scenario.providers import ProviderCohort
from marketsim.scenario.rulesets import DEFAULTS, ESCROW_RULES, QUIRKS, QUIRKS_LACKING, QUIRKS_OF_STREAMS, quirks_of
from marketsim.scenario.tenants import Name, TenantCohort

Rate = Annotated[Decimal, exact("0.000000000000000001", "1000000000", 18)]
EQUAL_COINS: Mapping[str, Decimal] = {"uakt": Decimal(1), "uve": Decimal(1)}
"""Coins that are worth as much as the market's own where the scenario says nothing else."""
GAS_PRICE_MAX = parse_money("6uve")
"""With its adjustment of a half still below what a column of atto-uve holds."""

RuleSet = Literal["seed", "virtengine", "akash"]
_HEIGHT_MAX = 2**53
_BESIDE = ("height", "op", "result", "changed")


def _moment(value: object) -> datetime:
    help_text = "write a moment in UTC such as 2026-01-05T00:00Z"
    if isinstance(value, datetime):
        moment = value
    else:
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromisoformat("")
        except ValueError:
            raise ValueError(f"{shown(value)} is not a date, {help_text}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _print_moment(value: datetime) -> str:
    return value.isoformat(timespec="minutes" if not (value.second or value.microsecond) else "auto").replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    Reading(
        _moment, {"type": "string", "examples": ["2026-01-05T00:00Z"]}, _print_moment, "date and time in UTC such as 2026-01-05T00:00Z"
    ),
]


def _plain(value: object) -> Any:
    """Data as the vectors write it: exact decimals become texts, the rest stays."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (Decimal, float)):
        return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
    return value


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not a mapping, write key: value pairs")
    plain: dict[str, Any] = _plain(value)
    return plain


Free = Annotated[dict[str, Any], Reading(_mapping, {"type": "object"}, takes="pairs")]


def _wallet(value: object) -> int:
    """A hand-written wallet: a literal, or whole uve as the vectors write them."""
    if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.strip().isdigit()):
        value = f"{value}uve"
    return parse_coins(value)


Wallet = Annotated[int, Reading(_wallet, {"type": ["string", "integer"]}, lambda atto: f"{atto // 10**18}uve", "amount in whole uve")]


class RegisteredProvider(Frozen):
    """A provider that exists from the start of a hand-written case."""

    attributes: dict[Text, Text] = Field(default_factory=dict, description="what the provider claims of itself")
    signed: dict[Text, dict[Text, Text]] = Field(default_factory=dict, description="what auditors signed for it: attributes by auditor")


class Start(Frozen):
    """The moment of height 0, and for hand-written cases the state there (the vectors' format)."""

    short_forms = ("time",)

    time: Moment = Field(
        default=datetime(2026, 1, 5, tzinfo=UTC),
        description="date and time of height 0: profiles of demand follow the day and the week from here",
    )
    params: Free = Field(default_factory=dict, description="parameters of the chain by name, as in messages set_params (docs/messages.md)")
    wallets: dict[Text, Wallet] = Field(default_factory=dict, description="what actors of messages by hand own")
    providers: dict[Text, RegisteredProvider] = Field(
        default_factory=dict, description="providers that are registered for messages by hand"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        return data if isinstance(data, (dict, cls)) else {"time": data}


class Governance(Frozen):
    """A governance action at a height."""

    height: PositiveCount = Field(description="block of the action, before its messages' effects fall due")
    op: Literal["set_params", "block", "unblock", "settle"] = Field(
        description="set_params changes parameters, block and unblock a provider's bidding, settle settles an account at once"
    )
    params: Free | None = Field(default=None, description="the parameters of set_params by name (docs/messages.md)")
    provider: Text | None = Field(default=None, description="whom block and unblock mean: cohort/index, or a name of messages by hand")
    id: Text | None = Field(default=None, validate_default=True, description="owner/dseq of the account that settle settles")

    @field_validator("id")
    @classmethod
    def _needs(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not {"op", "params", "provider"} <= info.data.keys():
            return value
        given = {"params": info.data["params"], "provider": info.data["provider"], "id": value}
        needed = {"set_params": "params", "block": "provider", "unblock": "provider", "settle": "id"}[info.data["op"]]
        for key, content in given.items():
            if (content is not None) != (key == needed):
                raise ValueError(f"op: {info.data['op']} takes {needed} beside height, leave other keys out")
        return value


def read_message(value: object) -> dict[str, Any]:
    """Return a message of `messages:` as plain data; raises ValueError for one of no kind, without height, or with wrong arguments."""
    data = _mapping(value)
    if data.get("op") not in OPERATIONS:
        raise ValueError(f"{shown(data.get('op'))} is not a message, op is one of {', '.join(OPERATIONS)}")
    height = data.get("height")
    if isinstance(height, bool) or not isinstance(height, int) or not 1 <= height <= _HEIGHT_MAX:
        raise ValueError(f"{shown(height)} is not a height, a message has height: with a whole number of 1 to {_HEIGHT_MAX}")
    needed = [key for key, argument in ARGUMENTS[data["op"]].items() if argument.default is NEEDED]
    possible = [key for key in (*ARGUMENTS[data["op"]], "signer") if key not in needed]
    accepted = f"{data['op']} takes {', '.join((*needed, *(f'{key} if need be' for key in possible)))}"
    wrong = [f"{key} is missing" for key in needed if key not in data]
    wrong += [f"{shown(key)} is no argument" for key in data if key not in (*needed, *possible, *_BESIDE)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}; {accepted}")
    return data


Message = Annotated[
    dict[str, Any],
    Reading(
        read_message,
        {
            "type": "object",
            "required": ["height", "op"],
            "properties": {"height": {"type": "integer", "minimum": 1}, "op": {"enum": list(OPERATIONS)}},
        },
        takes="message",
    ),
]


class CloseReasons(Frozen):
    """Target shares of lease close reasons."""

    tenant_terminated: Probability | None = Field(default=None, description="share of closed leases that the tenant ended before its time")
    lease_completed: Probability | None = Field(default=None, description="share that ran to its planned end")
    insufficient_funds: Probability | None = Field(default=None, description="share that ended for lack of funds")
    provider_closed: Probability | None = Field(default=None, description="share that the provider ended")


class Calibration(Frozen):
    """Targets that the report shows beside the outcome."""

    fill_rate: Window | None = Field(default=None, description="range of the share of orders that are leased")
    acceptance_rate: Window | None = Field(default=None, description="range of the share of submitted bids that the chain takes")
    win_rate: Window | None = Field(default=None, description="range of the share of decided bids that win")
    utilization: Window | None = Field(default=None, description="range of the share of CPU that is leased, over time")
    close_reasons: CloseReasons | None = Field(default=None, description="target shares of the reasons for which leases close")
    within: Probability = Field(default=0.10, description="how far a share of close_reasons may be from its target")


class Report(Frozen):
    """What the report shows."""

    figures: StrictBool = Field(default=True, description="whether figures are drawn")
    monthly_blocks: PositiveCount = Field(default=429_909, description="blocks of a month, for prices a month")


class MarketGenerator(Frozen):
    """A generated market in place of cohorts; `rm1` is the reference market of rules.md §10."""

    generator: Literal["rm1"] = Field(description="which market: rm1, the reference market (docs/reference-market.md)")
    orders: PositiveCount = Field(default=50_000, description="number of orders")
    providers: PositiveCount = Field(default=100, description="number of providers")
    tenants: PositiveCount = Field(default=1_000, description="number of tenants")
    load: PositiveNumber = Field(default=0.8, description="mean demand over capacity")
    agents: Literal["batch", "per_order", "reacting", "python", "python_batch"] = Field(
        default="batch",
        description=(
            "how orders are handed over and priced: python and python_batch let Python classes price, rounded down, the "
            "others differ in speed alone"
        ),
    )


class Scenario(Frozen):
    """One scenario file with all defaults filled in and the files it names inlined.

    Money is atto-uve (10⁻¹⁸ uve); durations know whether they count blocks. `effective()` is the same content
    as plain JSON-able data.
    """

    name: Name = Field(default="scenario", description="names the run: in reports and in the folder of its results")
    description: Text = Field(default="", description="what the scenario is for; the report begins with it")
    seed: Count = Field(default=1, description="seed of every random stream: another seed is another replication of the same market")
    salt: Count = Field(
        default=0,
        description=(
            "another number gives the same demand another fine grain: what engines draw by hash (latencies, ties, choices, "
            "random prices, who leaves) comes out otherwise; two salts of one seed differ as much as a change without effect"
        ),
    )
    rules: RuleSet = Field(
        default="seed",
        description=(
            "the rule set: seed is the training document's, virtengine and akash are those of the chains; it sets the "
            "defaults of other keys"
        ),
    )
    charging: Literal["rate", "usage_capped", "usage", "ve_settlement"] = Field(
        default="usage_capped",
        description=(
            "what a lease owes: rate its price for every block, usage_capped what was used up to the price, usage what was "
            "used (both rules: seed), ve_settlement by usage escrows (docs/charging.md)"
        ),
    )
    escrow: Literal["exact", "sequential", "proportional"] = Field(
        default="exact", description="how an escrow account pays its leases: exact (rules: seed), sequential, or akash's older proportional"
    )
    settle_every: PositiveSpan | None = Field(
        default=Duration(600, in_blocks=True),
        description="how long a lease runs between two settlements (escrow: exact); the other rules settle when they are touched",
    )
    usage_every: PositiveSpan = Field(
        default=Duration(600, in_blocks=True), description="time between two usage reports of a lease (charging: ve_settlement)"
    )
    usage_grace: Span = Field(
        default=Duration(86_400_000),
        description="how late a usage report may come, counted from the end of what it covers; later ones are refused and lost",
    )
    grace: Span | None = Field(
        default=Duration(86_400_000), description="how long a lease out of funds waits for a top-up before it is closed (escrow: exact)"
    )
    order_timeout: PositiveSpan | None = Field(
        default=Duration(100, in_blocks=True),
        description="after how long an order without a lease ends; none: it stays open for as long as its tenant has patience",
    )
    bid_window: PositiveSpan = Field(
        default=Duration(10, in_blocks=True),
        description="how long a tenant collects bids before it chooses; after that it takes the first acceptable one",
    )
    take: Annotated[Decimal, exact("0", "1", 6)] = Field(
        default=Decimal("0.02"), description="the network's share of what a lease pays, from 0 to 1"
    )
    bid_min_deposit: Coins = Field(
        default=parse_coins("0.5VE"), description="what a provider deposits with a bid and gets back at its end; who has less does not bid"
    )
    deployment_min_deposit: Coins = Field(
        default=parse_coins("0.5VE"), description="the least deposit of a deployment; tenants that count in blocks pay at least this"
    )
    order_max_bids: PositiveCount = Field(default=20, description="most bids that the chain takes for one order")
    quirks: tuple[Text, ...] = Field(
        default=(), description="named defects of the upstream chains that are left in, or all (docs/quirks.md)"
    )
    reserve: Literal["at_bid", "at_acceptance"] = Field(
        default="at_bid", description="when a provider sets capacity aside: at_bid, or at_acceptance, when bids may exceed what is free"
    )
    tie: Literal["hash", "provider_index"] = Field(
        default="hash", description="which of equal bids comes first: by a hash that favours nobody, or by the number of the provider"
    )
    price_rounding: Literal["half_even", "floor"] = Field(
        default="half_even", description="how prices of the linear strategies are rounded at 18 decimals of a uve"
    )
    network_fees: StrictBool = Field(default=False, description="whether senders pay gas for their messages, out of their wallets")
    gas_price: Money = Field(
        default=parse_money("0.025uve"),
        description="price of a unit of gas; senders offer one and a half times as much (network_fees: true)",
    )
    rates: dict[Text, Rate] = Field(
        default=EQUAL_COINS,
        validate_default=True,
        description="what one of a coin in which manifests pay is worth in the market's own (uakt under akash, else uve); "
        "uakt and uve are worth 1 unless said otherwise",
    )
    withdraw_every: PositiveSpan = Field(
        default=Duration(3_600_000), description="how often a provider withdraws what a lease owes it (escrow: sequential or proportional)"
    )
    block_time: BlockTime = Field(default=Duration(6_000), description="time from one block to the next")
    horizon: PositiveSpan = Field(description="length of the run; the block at its end is the last")
    warm_up: Span = Field(
        default=Duration(0), description="beginning that is left out of rates, revenue, utilization and prices; counts hold the whole run"
    )
    start: Start = Field(default=Start(), description="the moment of height 0 and, for messages by hand, what is there then")
    initial: Probability = Field(
        default=0.0,
        description="share of all CPU that is leased in the first blocks, by leases with remaining lives as in a market in balance",
    )
    record: Literal["summary", "orders", "everything"] = Field(
        default="orders", description="what is kept beside the summary: orders adds settlements, everything adds bids, declines and events"
    )
    market: MarketGenerator | None = Field(default=None, description="a generated market in place of tenants and providers")
    tenants: tuple[TenantCohort, ...] = Field(default=(), description="cohorts of tenants")
    providers: tuple[ProviderCohort, ...] = Field(default=(), description="cohorts of providers")
    agents: tuple[AgentCohort, ...] = Field(
        default=(), description="users' own functions that act in the market, as tenants or providers (docs/agents.md)"
    )
    messages: tuple[Message, ...] = Field(
        default=(), validate_default=True, description="messages by hand, in the order of their heights (docs/messages.md)"
    )
    faults: tuple[Fault, ...] = Field(
        default=(), description="what fails from when to when: outages, lost connections and the like (docs/faults.md)"
    )
    governance: tuple[Governance, ...] = Field(default=(), description="governance actions at given heights")
    metrics: tuple[OwnMetric, ...] = Field(
        default=(), description="figures of your own in the summary, by functions of a finished run (docs/own-metrics.md)"
    )
    calibration: Calibration | None = Field(
        default=None, description="targets that the report lays beside the outcome; nothing else depends on them"
    )
    report: Report = Field(default=Report(), description="how the report is made")

    _base: Path = PrivateAttr(default=Path())
    _places: Places | None = PrivateAttr(default=None)
    _stages: tuple[tuple[Duration, Scenario], ...] = PrivateAttr(default=())
    _schedules: tuple[tuple[str | int, ...], ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_rules(cls, data: Any) -> Any:
        if isinstance(data, dict) and str(data.get("rules", "seed")) in DEFAULTS:
            return DEFAULTS[str(data.get("rules", "seed"))] | data
        return data

    @field_validator("rates", mode="before")
    @classmethod
    def _equal_coins(cls, value: Any) -> Any:
        return {**EQUAL_COINS, **value} if isinstance(value, Mapping) else value

    @field_validator("rates")
    @classmethod
    def _own_coin(cls, value: dict[str, Decimal], info: ValidationInfo) -> dict[str, Decimal]:
        own = "uakt" if info.data.get("rules") == "akash" else "uve"
        for name in value:
            if not is_denom(name):
                raise ValueError(f"{shown(name)} is not the name of a coin, write one such as uakt or uusdc")
        if value[own] != 1:
            raise ValueError(f"{own} is the market's own coin and worth 1, leave it out")
        return dict(sorted(value.items()))

    @field_validator("gas_price")
    @classmethod
    def _gas_in_limits(cls, value: int) -> int:
        if value > GAS_PRICE_MAX:
            raise ValueError(f"{format_money(value)} is more than fees are exact for, give at most {format_money(GAS_PRICE_MAX)}")
        return value

    @field_validator("charging")
    @classmethod
    def _charging_of_rules(cls, value: str, info: ValidationInfo) -> str:
        rules = info.data.get("rules")
        if value == "ve_settlement" and rules == "akash":
            raise ValueError(
                "'ve_settlement' is VirtEngine's usage escrow, rules: akash has none; accepted rate, or rules: seed or virtengine"
            )
        if value in ("usage_capped", "usage") and rules in ("virtengine", "akash"):
            accepted = "rate or ve_settlement" if rules == "virtengine" else "rate"
            raise ValueError(
                f"{shown(value)} pays what was used, the escrow of rules: {rules} pays leases by the block and reads no use; "
                f"accepted {accepted}, or rules: seed"
            )
        return value

    @field_validator("market")
    @classmethod
    def _market_is_charged_by_block(cls, value: MarketGenerator | None, info: ValidationInfo) -> MarketGenerator | None:
        if value is not None and info.data.get("charging") == "ve_settlement":
            raise ValueError(
                "the tenants of a generated market top up, a usage escrow (charging: ve_settlement) takes no top-up; "
                "accepted charging: rate (under rules: seed usage_capped or usage too), or tenants and providers in place of market"
            )
        return value

    @field_validator("escrow")
    @classmethod
    def _escrow_of_rules(cls, value: str, info: ValidationInfo) -> str:
        rules = info.data.get("rules")
        if rules is not None and value not in ESCROW_RULES[rules]:
            accepted = " or ".join(ESCROW_RULES[rules])
            raise ValueError(f"'{value}' is not an escrow rule of rules: {rules}, it has {accepted}")
        return value

    @field_validator("settle_every", "grace")
    @classmethod
    def _exact_only(cls, value: Duration | None, info: ValidationInfo) -> Duration | None:
        escrow = info.data.get("escrow")
        if escrow == "exact" and value is None:
            raise ValueError("is empty, escrow: exact needs it: write a duration such as 600 blocks")
        if escrow not in (None, "exact") and value is not None:
            what = "settles when it is touched" if info.field_name == "settle_every" else "has no grace, overdrawn is final"
            raise ValueError(f"escrow: {escrow} {what}, leave the key out or use rules: seed")
        return value

    @field_validator("quirks", mode="before")
    @classmethod
    def _all_quirks(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, (list, tuple)) and "all" in value and "rules" in info.data:
            return list(quirks_of(info.data["rules"], str(info.data.get("charging", ""))))
        return () if value is None else value

    @field_validator("quirks")
    @classmethod
    def _quirks_of_rules(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        wrong = []
        for quirk in value:
            if quirk not in QUIRKS:
                wrong.append(f"{shown(quirk)} is not a quirk, quirks are {', '.join(QUIRKS)} or all")
            elif reason := QUIRKS_LACKING.get(info.data.get("rules", ""), {}).get(quirk):
                wrong.append(f"rules: {info.data['rules']} does not have quirk '{quirk}' ({reason}), leave it out")
            elif info.data.get("charging") == "ve_settlement" and quirk in QUIRKS_OF_STREAMS:
                wrong.append(f"charging: ve_settlement streams no payment in which quirk '{quirk}' could show, leave it out")
        if wrong:
            raise ValueError("; ".join(wrong))
        return tuple(quirk for quirk in QUIRKS if quirk in value)

    @field_validator("warm_up")
    @classmethod
    def _before_horizon(cls, value: Duration, info: ValidationInfo) -> Duration:
        if {"block_time", "horizon"} <= info.data.keys():
            block_ms = info.data["block_time"].amount
            if value.milliseconds(block_ms) >= info.data["horizon"].milliseconds(block_ms):
                raise ValueError(f"'{value}' is not before the horizon {info.data['horizon']}, give a shorter warm-up")
        return value

    @field_validator("horizon")
    @classmethod
    def _at_least_a_block(cls, value: Duration, info: ValidationInfo) -> Duration:
        if "block_time" in info.data:
            block_ms = info.data["block_time"].amount
            if value.milliseconds(block_ms) < block_ms:
                raise ValueError(f"'{value}' is shorter than one block ({info.data['block_time']}), give a longer horizon")
        return value

    @field_validator("tenants", "providers")
    @classmethod
    def _names_differ(cls, value: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if info.data.get("market") is not None and value:
            raise ValueError("stands beside market, a generated market has its own tenants and providers")
        names = [cohort.name for cohort in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two cohorts are named '{twice[0]}', give each cohort its own name")
        return value

    @field_validator("agents")
    @classmethod
    def _agents_differ(cls, value: tuple[AgentCohort, ...], info: ValidationInfo) -> tuple[AgentCohort, ...]:
        if info.data.get("market") is not None and value:
            raise ValueError("stands beside market, a generated market has no agents of others")
        names = [cohort.name for key in ("tenants", "providers") for cohort in info.data.get(key) or ()]
        for cohort in value:
            if cohort.name in names:
                raise ValueError(f"two cohorts are named '{cohort.name}', give each its own name")
            names.append(cohort.name)
        return value

    @field_validator("messages")
    @classmethod
    def _something_happens(cls, value: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        heights = [message["height"] for message in value]
        if heights != sorted(heights):
            raise ValueError("heights run backwards, list messages in the order of their heights")
        if info.data.get("agents"):
            return value
        if {"tenants", "providers", "market"} <= info.data.keys() and not value and info.data["market"] is None:
            if not info.data["tenants"] or not info.data["providers"]:
                what = "tenants" if not info.data["tenants"] else "providers"
                raise ValueError(f"the scenario has no {what}, give tenants and providers, or market, or messages")
        return value

    @field_validator("metrics")
    @classmethod
    def _metrics_differ(cls, value: tuple[OwnMetric, ...]) -> tuple[OwnMetric, ...]:
        names = [metric.name for metric in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two metrics are named '{name}', give each its own name")
        return value

    @field_validator("faults")
    @classmethod
    def _hit_somebody(cls, value: tuple[Fault, ...], info: ValidationInfo) -> tuple[Fault, ...]:
        if not {"providers", "tenants", "agents"} <= info.data.keys():
            return value
        agents = [cohort for cohort in info.data["agents"] if cohort.provider is not None]
        providers = {cohort.name: cohort.count for cohort in (*info.data["providers"], *agents)}
        tenants = {cohort.name: cohort.count for cohort in info.data["tenants"]}
        regions = {region for each in info.data["providers"] for region in (*each.regions, each.attributes.get("region", ""))}
        names: set[str] = set()
        for fault in value:
            _must_be_one("provider", fault.provider, providers)
            _must_be_one("tenant", fault.tenant, tenants)
            of = FAULT_KINDS[fault.kind].of
            cohorts = providers if of == "provider" else tenants if of == "tenant" else providers | tenants
            if fault.cohort is not None and fault.cohort not in cohorts:
                raise ValueError(f"{shown(fault.cohort)} is not a cohort of {of}s, cohorts are {', '.join(cohorts) or 'none'}")
            if fault.region is not None and fault.region not in regions:
                raise ValueError(
                    f"{shown(fault.region)} is no provider's region, regions are {', '.join(sorted(regions - {''})) or 'none'}"
                )
            if fault.name is not None and fault.name in names:
                raise ValueError(f"two faults are named {shown(fault.name)}, give each a name of its own")
            names.add(fault.name or "")
            if fault.kind == "settlement" and info.data.get("rules") == "seed":
                raise ValueError(
                    "kind: settlement stops withdrawals, and under rules: seed the chain pays by itself; "
                    "payments come late there by kind: usage with delay or by kind: connectivity"
                )
            if fault.kind == "usage" and info.data.get("charging") == "rate":
                rules = info.data.get("rules")
                by_use = {"seed": "usage_capped, usage or ve_settlement", "virtengine": "ve_settlement"}.get(str(rules))
                accepted = f"accepted with charging: {by_use}" if by_use else "accepted under rules: seed or virtengine"
                raise ValueError(f"kind: usage changes what is reported, and nothing is paid by that under charging: rate; {accepted}")
            block_ms = info.data["block_time"].amount if "block_time" in info.data else 0
            if block_ms and fault.until is not None and fault.until.milliseconds(block_ms) <= fault.at.milliseconds(block_ms):
                raise ValueError(f"until: {fault.until} is not after at: {fault.at}")
        return value

    # ------------------------------------------------------------ as numbers

    @property
    def base(self) -> Path:
        """The folder against which `trace:` and `script:` paths are read."""
        return self._base

    @property
    def stages(self) -> tuple[tuple[Duration, Scenario], ...]:
        """The scenario as it stands from each change on, by the moment of the change; empty where nothing changes while a run goes on."""
        return self._stages

    @property
    def coin(self) -> str:
        """The market's own coin, in which everything is paid."""
        return "uakt" if self.rules == "akash" else "uve"

    @property
    def notes(self) -> list[str]:
        """Located lines of what the files say that is no error and worth saying: keys that are read past."""
        return [] if self._places is None else self._places.notes

    def refusal(self, path: tuple[str | int, ...], problem: str) -> InputError:
        """The error of something that only a run finds wrong, with its place in the file where that is known.

        Items of lists may be named by index or by their `name`.
        """
        if self._places is None:
            return InputError(f"{'.'.join(map(str, path))}: {problem}")
        return InputError(self._places.lines(path, problem))

    @property
    def block_ms(self) -> int:
        """The block time in milliseconds."""
        return self.block_time.amount

    @property
    def desks(self) -> tuple[ProviderCohort, ...]:
        """All cohorts of providers: those under `providers:`, then the agents that are some."""
        return self.providers + tuple(desks for cohort in self.agents if (desks := cohort.desks()) is not None)

    @property
    def horizon_blocks(self) -> int:
        """Whole blocks within the horizon; the last one is executed."""
        return self.horizon.milliseconds(self.block_ms) // self.block_ms

    @property
    def warm_up_blocks(self) -> int:
        """Blocks of the discarded beginning."""
        return self.warm_up.blocks(self.block_ms)

    @property
    def take_ppm(self) -> int:
        """The network's share in millionths."""
        return int(self.take * 1_000_000)

    def replace(self, changes: Mapping[str, Any] | None = None, **keys: Any) -> Scenario:
        """Return the scenario with other values: `changes` by dotted path, `keys` whole keys at the top.

        Defaults that depend on other keys (`rules`) are taken anew. Raises InputError as loading does.

        >>> from marketsim import load_scenario
        >>> load_scenario("tiny").replace({"seed": 4}, horizon="1h").horizon_blocks
        600
        """
        wanted = {**(changes or {}), **keys}
        if self._places is None:
            raise InputError("scenario: was not loaded, make it with load_scenario to change values in it")
        changed: Scenario = self._places.rebuilt(wanted)
        return changed

    def written(self) -> dict[str, Any]:
        """Return the scenario as it was written, without defaults, as plain data with provider files and manifests inside."""
        return self.effective() if self._places is None else self._places.written

    def _repr_html_(self) -> str:
        """A few lines for notebooks."""
        rows = {
            "rules": f"{self.rules}, charging {self.charging}",
            "horizon": f"{self.horizon} = {self.horizon_blocks:,} blocks of {self.block_time}, warm-up {self.warm_up}",
            "tenants": ", ".join(f"{cohort.count} {cohort.name}" for cohort in self.tenants) or "none",
            "providers": ", ".join(f"{cohort.count} {cohort.name}" for cohort in self.providers) or "none",
            "seed": str(self.seed),
        }
        if self.market is not None:
            rows["market"] = f"generated: {self.market.orders} orders, {self.market.tenants} tenants, {self.market.providers} providers"
            del rows["tenants"], rows["providers"]
        return html_table(f"Scenario {self.name}", rows)

    def effective(self) -> dict[str, Any]:
        """Plain JSON-able data with every default filled in; reading it again gives an equal scenario."""
        data: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        later = [(str(at), stage.model_dump(mode="json", by_alias=True)) for at, stage in self._stages] if self._schedules else []
        for path in self._schedules:
            values: list[dict[str, Any]] = [{"value": _at(data, path)}]
            for at, stage in later:
                if (value := _at(stage, path)) != values[-1]["value"]:
                    values.append({"at": at, "value": value})
            _at(data, path[:-1])[path[-1]] = values
        return data

    def hash(self) -> str:
        """8 hex digits of the effective content but for the seed, which names a run beside it."""
        content = {key: value for key, value in self.effective().items() if key != "seed"}
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _must_be_one(what: str, name: str | None, cohorts: Mapping[str, int]) -> None:
    """Raise ValueError unless `name` is none or cohort/index of somebody in the cohorts, whose sizes are given."""
    cohort, _, index = (name or "").partition("/")
    if name is not None and (cohort not in cohorts or not index.isdigit() or int(index) >= cohorts[cohort]):
        known = ", ".join(f"{n}/0 … {n}/{c - 1}" for n, c in cohorts.items()) or "none"
        raise ValueError(f"{shown(name)} is not a {what}, {what}s are {known}")


def _at(data: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


__all__ = ["Calibration", "Fault", "Governance", "MarketGenerator", "Report", "Scenario", "Start"]
