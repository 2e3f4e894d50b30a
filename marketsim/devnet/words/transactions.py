"""What a transaction of the real command line sends, as messages of `messages:`, and what it prints when the chain has answered."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marketsim.chain.status import Status
from marketsim.devnet.addresses import address_of
from marketsim.devnet.words.command_line import Invocation, RefusedError
from marketsim.devnet.words.refusals import refusal, text_of
from marketsim.devnet.words.shapes import DENOM, decimal_coin, id_of
from marketsim.errors import InputError
from marketsim.money.units import ATTO

if TYPE_CHECKING:
    from marketsim.scenario.sdl import Sdl, SdlGroup, SdlUnit

Message = dict[str, Any]
Receipt = Mapping[str, Any]
EVENT_TYPE = "virtengine.{module}.v1.Event{name}"
_COIN = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Z][a-zA-Z0-9/:._-]{2,127})")
_REASONS = {
    1: "lease_closed_owner",
    10000: "lease_closed_reason_unstable",
    10001: "lease_closed_reason_decommission",
    10002: "lease_closed_reason_unspecified",
    10003: "lease_closed_reason_manifest_timeout",
    20000: "lease_closed_reason_insufficient_funds",
}
"""Reasons by number. Source: virtengine/virtengine sdk/go/node/market/v1/types.proto; the first and the fourth were recorded."""
_EVENTS: Mapping[str, tuple[str, str]] = {
    "DeploymentCreated": ("deployment", "DeploymentCreated"),
    "DeploymentClosed": ("deployment", "DeploymentClosed"),
    "GroupOpened": ("deployment", "GroupStarted"),
    "GroupPaused": ("deployment", "GroupPaused"),
    "GroupClosed": ("deployment", "GroupClosed"),
    "OrderCreated": ("market", "OrderCreated"),
    "OrderClosed": ("market", "OrderClosed"),
    "BidCreated": ("market", "BidCreated"),
    "BidClosed": ("market", "BidClosed"),
    "LeaseCreated": ("market", "LeaseCreated"),
    "LeaseClosed": ("market", "LeaseClosed"),
}
"""Events that the real chain has, by this simulator's names; of money it tells nothing."""


# --- what is given -------------------------------------------------------------------------------------------------------------


def parse_coin(text: str) -> tuple[Decimal, str]:
    """Return an amount and its coin; RefusedError for what is none."""
    match = _COIN.fullmatch(text.strip())
    if match is None:
        raise RefusedError(f"invalid decimal coin expression: {text}")
    return Decimal(match[1]), match[2]


def _own_coin(text: str, what: str) -> Decimal:
    amount, denom = parse_coin(text)
    if denom != DENOM:
        raise RefusedError(f"{what}: {denom} is not simulated, the market's coin is {DENOM}")
    return amount


def _sources(invocation: Invocation) -> list[str]:
    sources = list(invocation.flags["deposit-sources"])
    for at, source in enumerate(sources):
        if source not in ("grant", "balance"):
            raise RefusedError(f'invalid deposit-source "{source}"')
        if source in sources[:at]:
            raise RefusedError(f'duplicated deposit source "{source}"')
    return sources


def _deposit(invocation: Invocation, least: Callable[[], int]) -> Message:
    given = str(invocation.flags["deposit"])
    amount = _own_coin(given, "deposit") if "deposit" in invocation.given else Decimal(least())
    return {"deposit": str(int(amount)), "sources": _sources(invocation)}


def read_sdl(path: str) -> Sdl:
    """Return the manifest of a file; RefusedError with what is wrong with it and where."""
    from marketsim.scenario.files import load_sdl

    if not Path(path).is_file():
        raise RefusedError(f"open {path}: no such file or directory")
    try:
        return load_sdl(path)
    except InputError as error:
        raise RefusedError("\n".join(error.lines)) from None


def manifest_hash(sdl: Sdl) -> str:
    """Return the hash of a manifest, 32 bytes in base64: another one than the real chain's, which hashes the containers' settings too."""
    text = json.dumps(sdl.plain(), sort_keys=True, separators=(",", ":"), default=str)
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def group_message(group: SdlGroup) -> Message:
    """Return a manifest's group as a message brings it."""
    if group.denom != DENOM:
        raise RefusedError(f"{group.name}: pricing in {group.denom} is not simulated, the market's coin is {DENOM}")
    found: Message = {"name": group.name, "attributes": dict(group.attributes), "resources": [_unit(unit) for unit in group.resources]}
    if group.all_of:
        found["all_of"] = list(group.all_of)
    if group.any_of:
        found["any_of"] = list(group.any_of)
    return found


def _unit(unit: SdlUnit) -> Message:
    whole, atto = divmod(unit.price, ATTO)
    found: Message = {
        "price": f"{whole}.{atto:018d}".rstrip("0").rstrip("."),
        "count": unit.count,
        "cpu": unit.cpu,
        "memory": unit.memory,
        "storage": unit.storage,
        "gpu": unit.gpu,
        "endpoints": len(unit.endpoints),
    }
    if unit.gpu_attributes:
        found["gpu_attributes"] = dict(unit.gpu_attributes)
    attributes = next((volume.attributes for volume in unit.volumes if volume.attributes), None)
    if attributes:
        found["storage_attributes"] = dict(attributes)
    return found


def read_provider(path: str) -> dict[str, str]:
    """Return the attributes of a provider's registration (`host`, `info`, `attributes`); RefusedError for what is none."""
    from marketsim.scenario.yaml_source import read_source

    if not Path(path).is_file():
        raise RefusedError(f"open {path}: no such file or directory")
    rows = read_source(Path(path)).data.get("attributes") or []
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) and {"key", "value"} <= set(row) for row in rows):
        raise RefusedError(f"{path}: is no provider registration, write host: and attributes: with a key and a value each")
    found: dict[str, str] = {}
    for row in rows:
        key, value = str(row["key"]), row["value"]
        if key in found:
            raise RefusedError(f"provider: duplicated attribute: {key}")
        found[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


# --- messages ------------------------------------------------------------------------------------------------------------------


class Sender:
    """Who signs, and what a devnet must be asked for before a message can be written."""

    def __init__(
        self, address: str, least_deposits: Callable[[], Mapping[str, int]], deployment: Callable[[str, int], Mapping[str, Any]]
    ) -> None:
        """`least_deposits` returns the least deposits of a bid and of a deployment, `deployment` a deployment as queries answer it."""
        self.address = address
        self.least_deposits = least_deposits
        self.deployment = deployment


def _id(invocation: Invocation, parts: Sequence[str], **given: str) -> str:
    """The id that options spell; `given` stands for those that were left out. Refused in the words of the ids' own checks (sdk/go/node/
    deployment/v1/id.go, market/v1/order.go, bid.go)."""
    words = []
    for part in parts:
        value = str(invocation.flags.get(part) or "") or given.get(part, "")
        if not value:
            place = {"owner": 0, "dseq": 0, "gseq": 1, "oseq": 2, "provider": 3}[part]
            above = [f"{outer}: Invalid {inner}: " for outer, inner in zip(_KINDS[1:], _KINDS, strict=False)]
            head = "".join(reversed(above[place : max(0, len(parts) - 2)]))
            raise RefusedError(head + _WRONG[part])
        words.append(value)
    return "/".join(words)


_KINDS = ("DeploymentID", "GroupID", "OrderID", "BidID")
_WRONG = {
    "owner": "DeploymentID: Invalid Owner Address: invalid address",
    "dseq": "DeploymentID: Invalid Deployment Sequence: invalid sequence",
    "gseq": "GroupID: Invalid Group Sequence: invalid sequence",
    "oseq": "OrderID: Invalid Order Sequence: invalid sequence",
    "provider": "BidID: Invalid Provider Address: invalid address",
}
_DEPLOYMENT, _GROUP = ("owner", "dseq"), ("owner", "dseq", "gseq")
_ORDER = (*_GROUP, "oseq")
_BID = (*_ORDER, "provider")


def _create_deployment(invocation: Invocation, sender: Sender) -> Message:
    sdl = read_sdl(invocation.args[0])
    owner = str(invocation.flags["owner"]) or sender.address
    dseq = invocation.flags["dseq"]
    return {
        "op": "create_deployment",
        "id": f"{owner}/{dseq}" if dseq else owner,
        "hash": manifest_hash(sdl),
        "groups": [group_message(group) for group in sdl.groups()],
        **_deposit(invocation, lambda: sender.least_deposits()["deployment"]),
    }


def _update_deployment(invocation: Invocation, sender: Sender) -> Message:
    name = _id(invocation, _DEPLOYMENT, owner=sender.address)
    sdl = read_sdl(invocation.args[0])
    owner, dseq = name.split("/")
    asked = [_shape(group) for group in sender.deployment(owner, int(dseq))["groups"]]
    if asked != [_shape_of(group) for group in sdl.groups()]:
        raise RefusedError("deployment update failed: groups are different than existing deployment, you cannot update groups")
    return {"op": "update_deployment", "id": name, "hash": manifest_hash(sdl)}


def _shape(group: Mapping[str, Any]) -> list[Any]:
    spec = group["group_spec"]
    units = [
        (
            unit["count"],
            Decimal(unit["price"]["amount"]),
            int(unit["resource"]["cpu"]["units"]["val"]),
            int(unit["resource"]["memory"]["quantity"]["val"]),
            int(unit["resource"]["gpu"]["units"]["val"]),
            sum(int(volume["quantity"]["val"]) for volume in unit["resource"]["storage"]),
        )
        for unit in spec["resources"]
    ]
    return [spec["name"], {each["key"]: each["value"] for each in spec["requirements"]["attributes"]}, units]


def _shape_of(group: SdlGroup) -> list[Any]:
    units = [(unit.count, Decimal(unit.price) / ATTO, unit.cpu, unit.memory, unit.gpu, unit.storage) for unit in group.resources]
    return [group.name, group.attributes, units]


def _about_own(op: str, parts: Sequence[str]) -> Callable[[Invocation, Sender], Message]:
    return lambda invocation, sender: {"op": op, "id": _id(invocation, parts, owner=sender.address)}


def _about_group(op: str) -> Callable[[Invocation, Sender], Message]:
    return lambda invocation, sender: {"op": op, "id": _id(invocation, _GROUP)}


def _create_bid(invocation: Invocation, sender: Sender) -> Message:
    price = _own_coin(str(invocation.flags["price"]), "price")
    order = _id(invocation, _ORDER)
    if order.partition("/")[0] == sender.address:
        raise RefusedError("BidID: self-bid: conflict")
    if price == 0:
        raise RefusedError("invalid bid: zero price")
    least = _deposit(invocation, lambda: sender.least_deposits()["bid"])
    return {"op": "create_bid", "id": f"{order}/{sender.address}", "price": f"{price:f}", **least}


def _close_bid(invocation: Invocation, sender: Sender) -> Message:
    reason = int(invocation.flags["reason"])
    if not 10_000 <= reason <= 19_999:
        raise RefusedError("invalid --reason value. expected range 10000..19999")
    order = _id(invocation, _ORDER)
    return {"op": "close_bid", "id": f"{order}/{sender.address}", "reason": reason}


def _account_deposit(invocation: Invocation, sender: Sender) -> Message:
    scope, text = invocation.args
    if scope != "deployment":
        raise RefusedError("invalid account scope. allowed values deployment")
    amount = _own_coin(text, "deposit")
    name = _id(invocation, _DEPLOYMENT, owner=sender.address)
    return {"op": "account_deposit", "id": name, "signer": sender.address, "deposit": str(int(amount)), "sources": _sources(invocation)}


def _provider(op: str) -> Callable[[Invocation, Sender], Message]:
    return lambda invocation, sender: {"op": op, "provider": sender.address, "attributes": read_provider(invocation.args[0])}


def _sign_attributes(invocation: Invocation, sender: Sender) -> Message:
    provider, *pairs = invocation.args
    if len(pairs) % 2:
        raise RefusedError("attributes must be provided as pairs")
    keys = pairs[::2]
    if not keys:
        raise RefusedError("no attributes provided|found")
    if len(set(keys)) < len(keys):
        raise RefusedError("supplied attributes with duplicate keys")
    attributes = dict(zip(keys, pairs[1::2], strict=True))
    return {"op": "sign_attributes", "signer": sender.address, "provider": provider, "attributes": attributes}


def _grant(invocation: Invocation, sender: Sender) -> Message:
    grantee, kind = invocation.args
    if kind != "deposit":
        known = ("send", "generic", "delegate", "unbond", "redelegate")
        raise RefusedError(f"grants of {kind} are not simulated" if kind in known else f"invalid authorization type, {kind}")
    scopes = list(invocation.flags["scope"])
    for at, scope in enumerate(scopes):
        if scope not in ("deployment", "bid"):
            raise RefusedError(f'invalid scope "{scope}"')
        if scope in scopes[:at]:
            raise RefusedError(f'duplicate scope "{scope}"')
    if grantee == sender.address:
        raise RefusedError("grantee and granter should be different")
    limit = int(_own_coin(str(invocation.flags["spend-limit"]), "spend-limit"))
    if limit <= 0:
        raise RefusedError(f"spend-limit should be greater than zero, got: {limit}{DENOM}")
    return {"op": "grant", "granter": sender.address, "signer": grantee, "limit": str(limit), "scopes": scopes}


def _send_coins(invocation: Invocation, sender: Sender) -> Message:
    to, text = invocation.args[-2:]
    amount = int(_own_coin(text, "amount"))
    if amount <= 0:
        raise RefusedError("invalid coins")
    return {"op": "send", "wallet": sender.address, "to": to, "amount": amount}


def _submit_usage(invocation: Invocation, sender: Sender) -> Message:
    flags = invocation.flags
    return {
        "op": "submit_usage",
        "id": str(flags["lease-id"]),
        "metrics": {
            "cpu": flags["cpu-milliseconds"],
            "memory": flags["memory-byte-seconds"],
            "storage": flags["storage-byte-seconds"],
            "gpu": flags["gpu-seconds"],
        },
    }


def _settle(invocation: Invocation, sender: Sender) -> Message:
    return {"op": "settle_escrow", "id": str(invocation.flags["escrow-id"]).removeprefix("deployment/").strip("/")}


MESSAGES: Mapping[str, Callable[[Invocation, Sender], Message]] = {
    "create_deployment": _create_deployment,
    "update_deployment": _update_deployment,
    "close_deployment": _about_own("close_deployment", _DEPLOYMENT),
    "close_group": _about_group("close_group"),
    "pause_group": _about_group("pause_group"),
    "start_group": _about_group("start_group"),
    "create_bid": _create_bid,
    "close_bid": _close_bid,
    "create_lease": _about_own("create_lease", _BID),
    "close_lease": _about_own("close_lease", _BID),
    "withdraw": _about_own("withdraw", _BID),
    "account_deposit": _account_deposit,
    "create_provider": _provider("create_provider"),
    "update_provider": _provider("update_provider"),
    "sign_attributes": _sign_attributes,
    "grant": _grant,
    "send": _send_coins,
    "submit_usage": _submit_usage,
    "settle_escrow": _settle,
}
"""How the message of each transaction is written, by what the command tree calls it."""


# --- what the chain answered -----------------------------------------------------------------------------------------------------


def status_of(receipt: Receipt) -> Status:
    """Return how the chain answered."""
    return Status(int(receipt["code"]))


def refused(receipt: Receipt, message: Message, ask: Callable[..., Mapping[str, Any]]) -> str:
    """Return what the real command line says of a message that is refused when it is tried; `ask` asks for what the text names."""
    op, status = str(receipt["op"]), status_of(receipt)
    text = text_of(op, status).text
    if status == Status.InvalidDeposit and op in ("create_bid", "create_deployment", "account_deposit"):
        text = _of_deposit(op, message, text, ask)
    elif status == Status.InsufficientFunds and op == "send":
        held = ask("balances", address=message["wallet"], denom=DENOM)["amount"]
        text = f"spendable balance {held}{DENOM} is smaller than {message['amount']}{DENOM}: {text}"
    elif status in (Status.ProviderExists, Status.ProviderNotFound):
        text = f"id: {message['provider']}: {text}"
    return refusal(text, int(receipt["gas_used"]))


def _of_deposit(op: str, message: Message, text: str, ask: Callable[..., Mapping[str, Any]]) -> str:
    """Why a deposit is refused: too small, or more than there is, which the market's module says for all of them."""
    amount = int(message["deposit"])
    least = 1 if op == "account_deposit" else int(ask("least_deposits")["bid" if op == "create_bid" else "deployment"])
    if amount >= least:
        return "deposit invalid: insufficient balance"
    if op == "create_bid":
        sources = " ".join(message["sources"])
        return f"{text}: mininum:{least}{DENOM} received:{{{amount}{DENOM} [{sources}]}}"
    return f"{text}: Deposit too low - {amount} < {least}" if op == "create_deployment" else text


def tx_answer(receipt: Receipt, message: Message) -> dict[str, Any]:
    """Return a transaction as it was recorded: height, code, gas used and the market's own events."""
    status = status_of(receipt)
    text = None if status == Status.Ok else text_of(str(receipt["op"]), status)
    return {
        "height": str(receipt["height"]),
        "code": 0 if text is None else text.code,
        "codespace": "" if text is None else text.module,
        "raw_log": "" if text is None else f"failed to execute message; message index: 0: {text.text}",
        "gas_used": str(receipt["gas_used"]),
        "events": events_of(receipt, message),
    }


def events_of(receipt: Receipt, message: Message) -> list[dict[str, Any]]:
    """Return what the real chain tells of a transaction: an order that ends without a lease is not told, nor that a group opens with its
    deployment."""
    told = list(receipt["events"])
    leased = {str(event["id"]).rpartition("/")[0] for event in told if event["event"] == "LeaseClosed"}
    found = []
    for event in told:
        kind, name = str(event["event"]), str(event.get("id", ""))
        if kind not in _EVENTS or (kind == "OrderClosed" and name not in leased):
            continue
        if kind == "GroupOpened" and receipt["op"] == "create_deployment":
            continue
        module, called = _EVENTS[kind]
        found.append({"type": EVENT_TYPE.format(module=module, name=called), "attributes": _attributes(kind, event, message)})
    if status_of(receipt) == Status.Ok and receipt["op"] == "update_deployment":
        attributes = {"hash": _compact(message.get("hash", "")), "id": _compact(id_of(address_of, str(message["id"])))}
        found.append({"type": EVENT_TYPE.format(module="deployment", name="DeploymentUpdated"), "attributes": attributes})
    if status_of(receipt) == Status.Ok and receipt["op"] in _PROVIDERS:
        kind = f"virtengine.provider.v1beta4.Event{_PROVIDERS[str(receipt['op'])]}"
        found.append({"type": kind, "attributes": {"owner": _compact(address_of(str(message["provider"])))}})
    return found


_PROVIDERS = {"create_provider": "ProviderCreated", "update_provider": "ProviderUpdated", "delete_provider": "ProviderDeleted"}


def _attributes(kind: str, event: Mapping[str, Any], message: Message) -> dict[str, str]:
    found: dict[str, str] = {}
    if kind == "DeploymentCreated":
        found["hash"] = _compact(message.get("hash", ""))
    found["id"] = _compact(id_of(address_of, str(event["id"])))
    if kind in ("BidCreated", "LeaseCreated"):
        found["price"] = _compact(decimal_coin(Decimal(str(event["amount"]))))
    if kind == "LeaseClosed":
        reason = int(event.get("reason") or 0)
        found["reason"] = _compact(_REASONS.get(reason, str(reason)))
    return found


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def whole_tx(receipt: Receipt, message: Message, time: str) -> dict[str, Any]:
    """Return a transaction as `query tx` prints it, with the fields of the real one; nobody signs here, so signatures are empty."""
    told = tx_answer(receipt, message)
    gas = int(receipt["gas_used"])
    events = [
        {"type": event["type"], "attributes": [{"key": key, "value": value, "index": True} for key, value in event["attributes"].items()]}
        for event in told["events"]
    ]
    return {
        "height": told["height"],
        "txhash": str(receipt["hash"]),
        "codespace": told["codespace"],
        "code": told["code"],
        "data": "",
        "raw_log": told["raw_log"],
        "logs": [],
        "info": "",
        "gas_wanted": str(gas * 3 // 2),
        "gas_used": told["gas_used"],
        "tx": {
            "@type": "/cosmos.tx.v1beta1.Tx",
            "body": {
                "messages": [unsigned(message)],
                "memo": "",
                "timeout_height": "0",
                "extension_options": [],
                "non_critical_extension_options": [],
            },
            "auth_info": {
                "signer_infos": [],
                "fee": {
                    "amount": [{"denom": DENOM, "amount": str(receipt["fee"])}],
                    "gas_limit": str(gas * 3 // 2),
                    "payer": "",
                    "granter": "",
                },
            },
            "signatures": [],
        },
        "timestamp": time,
        "events": events,
    }


_TYPES = {
    "create_deployment": "deployment.v1beta4.MsgCreateDeployment",
    "update_deployment": "deployment.v1beta4.MsgUpdateDeployment",
    "close_deployment": "deployment.v1beta4.MsgCloseDeployment",
    "close_group": "deployment.v1beta4.MsgCloseGroup",
    "pause_group": "deployment.v1beta4.MsgPauseGroup",
    "start_group": "deployment.v1beta4.MsgStartGroup",
    "create_bid": "market.v1beta5.MsgCreateBid",
    "close_bid": "market.v1beta5.MsgCloseBid",
    "create_lease": "market.v1beta5.MsgCreateLease",
    "close_lease": "market.v1beta5.MsgCloseLease",
    "withdraw": "market.v1beta5.MsgWithdrawLease",
    "account_deposit": "escrow.v1.MsgAccountDeposit",
    "create_provider": "provider.v1beta4.MsgCreateProvider",
    "update_provider": "provider.v1beta4.MsgUpdateProvider",
    "sign_attributes": "audit.v1.MsgSignProviderAttributes",
}
_SDK_TYPES = {"grant": "cosmos.authz.v1beta1.MsgGrant", "send": "cosmos.bank.v1beta1.MsgSend"}


def unsigned(message: Message) -> dict[str, Any]:
    """Return a message with the type that the real chain gives it, its arguments as `messages:` has them."""
    op = str(message["op"])
    kind = f"virtengine.{_TYPES[op]}" if op in _TYPES else _SDK_TYPES.get(op, f"marketsim.{op}")
    return {"@type": f"/{kind}"} | {k: v for k, v in message.items() if k != "op"}


__all__ = ["MESSAGES", "Message", "Receipt", "Sender", "parse_coin", "refused", "status_of", "tx_answer", "unsigned", "whole_tx"]
