"""Messages to a held market that no chain would take: faults and repairs, another configuration of a provider, how its use is reported,
coins out of a faucet or from one wallet to another."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from pydantic import ValidationError

from marketsim.chain.edge import Chain
from marketsim.chain.ledger import move
from marketsim.chain.parsing import GOVERNANCE, Message, MessageError, Parsed, parse_name, parse_number
from marketsim.chain.status import Status
from marketsim.market.clock import BlockClock
from marketsim.money.units import ATTO
from marketsim.scenario.faults import COMMON, FAULT_KINDS, Fault
from marketsim.scenario.model import Scenario
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.schedules import merge
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.desks import desk_rows
from marketsim.simulation.faults import Faults
from marketsim.simulation.stages import configure

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "fault": ("kind",),
    "outage": ("provider", "lasts"),
    "repair": (),
    "configure": ("provider", "changes"),
    "usage": ("provider", "mode"),
    "faucet": ("wallet", "amount"),
    "send": ("wallet", "to", "amount"),
}
"""What each must have beside `signer`. `fault` takes the keys of a scenario's `faults:` but for `at`, `repair` the name of a `fault` or a
`provider` of which all that is wrong ends; a provider is its name or cohort/index, `changes` is laid over the provider's file, `mode` is
metered or manual and holds for leases from then on, `amount` whole uve, which `send` takes out of `wallet`. A provider signs what is about
itself, a tenant likewise, a wallet what it sends, governance the rest; governance may sign everything."""
USAGE = ("metered", "manual")
COINS_MAX = 9 * ATTO
"""What all wallets together may hold."""
_MORE = {
    "fault": tuple(dict.fromkeys((*COMMON, *(key for kind in FAULT_KINDS.values() for key in kind.takes)))),
    "repair": ("provider", "fault"),
}


class Done(NamedTuple):
    """How a message to the market was answered: its status, what it was about, and of a fault the block in which it ends by itself."""

    status: Status
    what: str
    until: int | None = None


def fault_message(kind: str, **keys: Any) -> dict[str, Any]:
    """Return the message that lets a fault begin: `kind` is one of FAULT_KINDS, `keys` are those of a scenario's `faults:` but for `at`;
    what is None is left out.

        market.submit(fault_message("connectivity", provider="edge/0", lasts="2h"))
    """
    return {"op": "fault", "kind": kind} | {key: value for key, value in keys.items() if value is not None}


def parse_market_message(message: Message) -> Parsed:
    """Return a message to the market; raises MessageError for what is none."""
    op = message["op"]
    takes = (*OPERATIONS[op], *_MORE.get(op, ()))
    for key in OPERATIONS[op]:
        if key not in message:
            raise MessageError(key, f"missing, {op} takes {' and '.join(OPERATIONS[op])}")
    for key in message:
        if key not in (*takes, "op", "height", "signer"):
            raise MessageError(key, f"is no argument, {op} takes {', '.join(takes)}")
    arguments: dict[str, Any] = {}
    if op in ("faucet", "send"):
        arguments["wallet"] = parse_name(message["wallet"], "wallet")
        must = GOVERNANCE if op == "faucet" else arguments["wallet"]
        if op == "send":
            arguments["to"] = parse_name(message["to"], "to")
        arguments["amount"] = parse_number(message["amount"], "amount")
        if arguments["amount"] <= 0:
            raise MessageError("amount", f"{message['amount']!r} is no amount, write whole uve above 0")
    elif op == "configure":
        arguments["provider"] = must = wallet_of(parse_name(message["provider"], "provider"))
        if not isinstance(message["changes"], Mapping):
            raise MessageError("changes", "is not a mapping, write {bid_engine: {min_profit_margin: 20}}")
        arguments["changes"] = deepcopy(dict(message["changes"]))
    elif op == "usage":
        arguments["provider"] = must = wallet_of(parse_name(message["provider"], "provider"))
        if message["mode"] not in USAGE:
            raise MessageError("mode", f"{message['mode']!r} is no way to report use, write {' or '.join(USAGE)}")
        arguments["mode"] = message["mode"]
    elif op == "repair":
        given = [key for key in _MORE[op] if key in message]
        if len(given) != 1:
            raise MessageError("repair", "takes either provider or fault, the name of one")
        name = parse_name(message[given[0]], given[0])
        arguments[given[0]] = wallet_of(name) if given[0] == "provider" else name
        must = arguments[given[0]] if given[0] == "provider" else GOVERNANCE
    else:
        arguments["fault"], must = _fault(message)
    signer = parse_name(message.get("signer", must), "signer")
    return Parsed(op, arguments, signer, signer if signer == GOVERNANCE else must)


def _fault(message: Message) -> tuple[Fault, str]:
    """The fault that a message begins, and who must sign it: whom alone it is about, else governance."""
    keys = {key: value for key, value in message.items() if key not in ("op", "height", "signer")}
    if message["op"] == "outage":
        keys["kind"] = "outage"
    if keys["kind"] not in FAULT_KINDS:
        raise MessageError("kind", f"{keys['kind']!r} is no kind of fault, kinds are {', '.join(FAULT_KINDS)}")
    for key in ("provider", "tenant"):
        if key in keys:
            keys[key] = parse_name(keys[key], key)
    try:
        fault = Fault.model_validate({"at": "0s", **keys})
    except ValidationError as error:
        first = error.errors()[0]
        problem = str(first["msg"]).removeprefix("Value error, ")
        raise MessageError(str(first["loc"][0]) if first["loc"] else "fault", problem) from None
    alone = fault.provider or fault.tenant
    is_own = alone is not None and fault.kind not in ("block", "unblock", "python")
    return fault, wallet_of(str(alone)) if is_own else GOVERNANCE


def wallet_of(provider: str) -> str:
    """Return the name of the wallet of a provider that may be written cohort/index."""
    cohort, slash, index = provider.rpartition("/")
    return f"{cohort}-{index}" if slash and index.isdigit() else provider


def act(
    parsed: Parsed, height: int, at_ms: int, clock: BlockClock, names: Chain, market: MarketSetup, scenario: Scenario, faults: Faults
) -> Done:
    """Carry out a message in block `height`, which is open; it was dated `at_ms`. What is refused changes nothing."""
    arguments = parsed.arguments
    if "fault" in arguments and isinstance(arguments["fault"], Fault):
        fault = arguments["fault"]
        if not parsed.is_authorized:
            return Done(Status.Unauthorized, fault.name or fault.kind)
        begun = faults.begin(fault, height, at_ms)
        return Done(begun.status, begun.name, begun.until)
    what = str(next(iter(arguments.values())))
    if not parsed.is_authorized:
        return Done(Status.Unauthorized, what)
    if parsed.op == "faucet":
        return Done(_pour(clock, names, **arguments), what)
    if parsed.op == "send":
        return Done(_send(clock, names, **arguments), what)
    if parsed.op == "repair" and "fault" in arguments:
        return Done(Status.Ok if faults.end(what, height) else Status.InvalidParam, what)
    slot = names.row_of("provider", what)
    if not 0 <= slot < int(clock.engine.globals.providers):
        return Done(Status.ProviderNotFound, what)
    if parsed.op == "repair":
        faults.mend(slot, height)
        return Done(Status.Ok, what)
    if parsed.op == "usage":
        clock.engine.desks[slot].usage_by_hand = USAGE.index(arguments["mode"])
        return Done(Status.Ok, what)
    return Done(_configure(clock, market, scenario, slot, arguments["changes"]), what)


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
    before, after = (desk_rows([cohort.model_copy(update={"config": each})], scenario, seed)[index] for each in (file, new))
    configure(clock.chain, clock.engine, slot, before, after)
    market.book.set_file(slot, new)
    return Status.Ok


__all__ = ["OPERATIONS", "Done", "act", "fault_message", "parse_market_message", "wallet_of"]
