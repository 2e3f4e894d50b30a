"""Messages to a held market that no chain would take: outages and repairs, another configuration of a provider, how its use is reported,
coins out of a faucet or from one wallet to another."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from marketsim.agents.providers import fault
from marketsim.chain.edge import Chain
from marketsim.chain.ledger import move
from marketsim.chain.parsing import GOVERNANCE, Message, MessageError, Parsed, parse_name, parse_number
from marketsim.chain.status import Status
from marketsim.market.clock import BlockClock
from marketsim.market.desks import set_shut
from marketsim.market.quoting import refresh_units
from marketsim.market.tables import Kind
from marketsim.money.units import ATTO
from marketsim.scenario.literals import Duration, parse_duration
from marketsim.scenario.model import Scenario
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.schedules import merge
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.desks import desk_rows
from marketsim.simulation.stages import CONFIGURED, HELD

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "outage": ("provider", "lasts"),
    "repair": ("provider",),
    "configure": ("provider", "changes"),
    "usage": ("provider", "mode"),
    "faucet": ("wallet", "amount"),
    "send": ("wallet", "to", "amount"),
}
"""What each takes beside `signer`: a provider is its name or cohort/index, `lasts` a duration, `changes` is laid over the provider's file,
`mode` is metered or manual and holds for leases from then on, `amount` whole uve, which `send` takes out of `wallet`. A provider signs
what is about itself, a wallet what it sends, governance the rest; governance may sign everything."""
USAGE = ("metered", "manual")
COINS_MAX = 9 * ATTO
"""What all wallets together may hold."""


def parse_market_message(message: Message) -> Parsed:
    """Return a message to the market; raises MessageError for what is none."""
    op = message["op"]
    for key in OPERATIONS[op]:
        if key not in message:
            raise MessageError(key, f"missing, {op} takes {' and '.join(OPERATIONS[op])}")
    for key in message:
        if key not in (*OPERATIONS[op], "op", "height", "signer"):
            raise MessageError(key, f"is no argument, {op} takes {' and '.join(OPERATIONS[op])}")
    arguments: dict[str, Any] = {}
    if op in ("faucet", "send"):
        arguments["wallet"] = parse_name(message["wallet"], "wallet")
        must = GOVERNANCE if op == "faucet" else arguments["wallet"]
        if op == "send":
            arguments["to"] = parse_name(message["to"], "to")
        arguments["amount"] = parse_number(message["amount"], "amount")
        if arguments["amount"] <= 0:
            raise MessageError("amount", f"{message['amount']!r} is no amount, write whole uve above 0")
    else:
        arguments["provider"] = must = wallet_of(parse_name(message["provider"], "provider"))
    if op == "outage":
        arguments["lasts"] = _duration(message["lasts"])
    elif op == "configure":
        if not isinstance(message["changes"], Mapping):
            raise MessageError("changes", "is not a mapping, write {bid_engine: {min_profit_margin: 20}}")
        arguments["changes"] = deepcopy(dict(message["changes"]))
    elif op == "usage":
        if message["mode"] not in USAGE:
            raise MessageError("mode", f"{message['mode']!r} is no way to report use, write {' or '.join(USAGE)}")
        arguments["mode"] = message["mode"]
    signer = parse_name(message.get("signer", must), "signer")
    return Parsed(op, arguments, signer, signer if signer == GOVERNANCE else must)


def wallet_of(provider: str) -> str:
    """Return the name of the wallet of a provider that may be written cohort/index."""
    cohort, slash, index = provider.rpartition("/")
    return f"{cohort}-{index}" if slash and index.isdigit() else provider


def _duration(value: Any) -> Duration:
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise MessageError("lasts", str(error)) from None
    if found.amount <= 0:
        raise MessageError("lasts", f"'{value}' is no time, write one such as 6h")
    return found


def act(parsed: Parsed, height: int, number: int, clock: BlockClock, names: Chain, market: MarketSetup, scenario: Scenario) -> Status:
    """Carry out a message in block `height`; `number` tells it from others of that block. What is refused changes nothing."""
    if not parsed.is_authorized:
        return Status.Unauthorized
    if parsed.op == "faucet":
        return _pour(clock, names, **parsed.arguments)
    if parsed.op == "send":
        return _send(clock, names, **parsed.arguments)
    slot = names.row_of("provider", parsed.arguments["provider"])
    if not 0 <= slot < int(clock.engine.globals.providers):
        return Status.ProviderNotFound
    at_ms = height * clock.block_ms
    if parsed.op == "outage":
        fault(clock, slot, number, Kind.OUTAGE, at_ms, parsed.arguments["lasts"].milliseconds(clock.block_ms), True)
    elif parsed.op == "repair":
        fault(clock, slot, number, Kind.OUTAGE, at_ms, 0, False)
    elif parsed.op == "usage":
        clock.engine.desks[slot].usage_by_hand = USAGE.index(parsed.arguments["mode"])
    else:
        return _configure(clock, market, scenario, slot, parsed.arguments["changes"])
    return Status.Ok


def _pour(clock: BlockClock, names: Chain, wallet: str, amount: int) -> Status:
    g = clock.chain.globals
    if int(g.supply) + amount >= COINS_MAX:
        return Status.InvalidParam
    row = names.wallet(wallet)
    clock.chain = names.state
    clock.chain.wallets[row].balance += amount
    clock.chain.globals.supply += amount
    return Status.Ok


def _send(clock: BlockClock, names: Chain, wallet: str, to: str, amount: int) -> Status:
    payer, payee = names.wallet(wallet), names.wallet(to)
    clock.chain = names.state
    if int(clock.chain.wallets[payer].balance) < amount:
        return Status.InsufficientFunds
    move(clock.chain, payer, payee, amount)
    return Status.Ok


def _configure(clock: BlockClock, market: MarketSetup, scenario: Scenario, slot: int, changes: Mapping[str, Any]) -> Status:
    """Lay changes over a provider's file."""
    file = market.book.file_of(slot)
    if file is None or clock.engine.desks[slot].quoted:
        return Status.InvalidParam
    data = file.model_dump(mode="json")
    merge(data, changes)
    try:
        new = ProviderFile.model_validate(data)
    except ValidationError:
        return Status.InvalidParam
    cohort = scenario.providers[market.book.cohorts[slot]]
    index, seed = int(market.book.names[slot].rpartition("-")[2]), int(clock.engine.globals.seed)
    before, after = (desk_rows(cohort.model_copy(update={"config": each}), scenario, seed)[index] for each in (file, new))
    desk = clock.engine.desks[slot]
    for column, left in HELD.items():
        desk[left] += after[column] - before[column]
    for column in (*CONFIGURED, *HELD):
        if after[column] != before[column]:
            desk[column] = after[column]
    refresh_units(desk)
    set_shut(clock.chain, clock.engine, slot)
    market.book.set_file(slot, new)
    return Status.Ok


__all__ = ["OPERATIONS", "act", "parse_market_message", "wallet_of"]
