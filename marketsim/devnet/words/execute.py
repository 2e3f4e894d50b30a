"""Carries out one command line of `virtengine` against a devnet: what it prints, what it says beside that, and its exit code."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from marketsim import __version__
from marketsim.chain.status import Status
from marketsim.devnet.addresses import is_address
from marketsim.devnet.words.bech32_texts import bech32_problem
from marketsim.devnet.words.command_line import NOT_SIMULATED, Invocation, RefusedError, check_required, help_of, read, with_environment
from marketsim.devnet.words.commands import REAL
from marketsim.devnet.words.document import BOTH, real_form
from marketsim.devnet.words.rendering import as_json, as_transaction, as_yaml, rendered
from marketsim.devnet.words.transactions import MESSAGES, Message, Receipt, Sender, refused, status_of, tx_answer, unsigned, whole_tx
from marketsim.errors import InputError

ADDRESSES = ("owner", "provider")
"""Options that are addresses."""
_ADDRESS_ARGUMENT = {"send": -2, "grant": 0, "sign_attributes": 0, "balances": 0, "spendable": 0, "get_provider": 0}
"""Arguments that are addresses."""
_USAGE_LONGEST_MS = 24 * 3_600_000
_PAGE_KEYS = ("limit", "offset", "page-key", "count-total", "reverse")
STRICT = "VIRTENGINE_STRICT"
"""The variable that leaves the document's commands out, and names in place of addresses."""


class Devnet(Protocol):
    """What commands are carried out on: a `Node` in this process, or a `Client` of one in another."""

    def status(self) -> Mapping[str, Any]:
        """Return where the devnet stands; `accounts` has the addresses of keys by name."""
        ...

    def chain_answer(self, what: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return {"answer": …} as `answers.answer` gives it, or {"refused": text}."""
        ...

    def submit(self, messages: Any, signer: str, *, dry_run: bool = False) -> Sequence[Mapping[str, Any]]:
        """Send messages that a key signs; return a receipt each."""
        ...

    def add_key(self, name: str) -> Any:
        """Make a key."""
        ...


@dataclass(frozen=True, slots=True)
class CommandOutput:
    """What a command printed, what it said on the other channel, and its exit code, 0 or 1 as the real one's."""

    out: str = ""
    err: str = ""
    code: int = 0


def execute(
    words: Sequence[str],
    devnet: Callable[[], Devnet],
    *,
    strict: bool = False,
    tells_hash: bool = False,
    environment: Mapping[str, str] | None = None,
) -> CommandOutput:
    """Carry out the words behind `virtengine`.

    `devnet` opens the devnet when it is needed. With `strict` everything is as on the real chain: the document's commands are refused, and
    names in place of addresses. With `tells_hash` the hash of a transaction is said beside what was recorded of one. Options that are not
    given are taken from `environment`: VIRTENGINE_FROM, VIRTENGINE_OUTPUT.
    """
    try:
        invocation = read(REAL if strict else BOTH, words)
        if invocation.command.below and not invocation.given:
            invocation = replace(invocation, wants_help=True)
        if invocation.wants_help or not invocation.does:
            return CommandOutput(help_of(invocation))
        invocation = with_environment(invocation, environment or {}, "VIRTENGINE")
        return _Execution(invocation, devnet, strict, tells_hash).said()
    except RefusedError as error:
        return CommandOutput(err=f"Error: {error}\n", code=1)
    except InputError as error:
        return CommandOutput(err="".join(f"Error: {line}\n" for line in error.lines), code=1)


class _Execution:
    """One command under way."""

    def __init__(self, invocation: Invocation, devnet: Callable[[], Devnet], strict: bool, tells_hash: bool) -> None:
        self._invocation = invocation
        self._open = devnet
        self._strict = strict
        self._tells_hash = tells_hash
        self._devnet: Devnet | None = None
        self._accounts: Mapping[str, str] | None = None
        self._beside: list[str] = []

    def said(self) -> CommandOutput:
        if self._invocation.does == NOT_SIMULATED:
            raise RefusedError(f"`virtengine {' '.join(self._invocation.path[1:])}` is not simulated")
        form = real_form(self._invocation)
        if form is not None:
            self._beside.append(f"note: the training document's form; the real command line has {form} ({STRICT}=1 refuses it)")
        own = _OWN.get(self._invocation.does)
        try:
            if own is not None:
                out = own(self)
            elif self._invocation.does in MESSAGES:
                out = self._transaction(MESSAGES[self._invocation.does])
            else:
                out = self._query()
        except RefusedError as error:
            return CommandOutput("", self._err(f"Error: {error}"), 1)
        return CommandOutput(out, self._err())

    def _err(self, *lines: str) -> str:
        return "".join(f"{line}\n" for line in (*self._beside, *lines))

    # --- the devnet -----------------------------------------------------------------------------------------------------------

    @property
    def devnet(self) -> Devnet:
        if self._devnet is None:
            self._devnet = self._open()
        return self._devnet

    @property
    def accounts(self) -> Mapping[str, str]:
        """Addresses of keys by name."""
        if self._accounts is None:
            self._accounts = dict(self.devnet.status()["accounts"])
        return self._accounts

    def _ask(self, what: str, **asked: Any) -> Mapping[str, Any]:
        found = self.devnet.chain_answer(what, asked)
        if "refused" in found:
            raise RefusedError(str(found["refused"]))
        answer: Mapping[str, Any] = found["answer"]
        return answer

    def _address(self, text: str) -> str:
        """An address, or that of a name where names are taken."""
        if is_address(text):
            return text
        if self._strict or not text:
            raise RefusedError(bech32_problem(text))
        return self.accounts.get(text) or str(self._ask("wallet", text=text)["address"])

    def _with_addresses(self, invocation: Invocation) -> Invocation:
        changed = {key: self._address(str(invocation.flags[key])) for key in ADDRESSES if invocation.flags.get(key)}
        args = list(invocation.args)
        at = _ADDRESS_ARGUMENT.get(invocation.does)
        if at is not None:
            args[at] = self._address(args[at])
        return replace(invocation, flags={**invocation.flags, **changed}, args=tuple(args))

    # --- queries --------------------------------------------------------------------------------------------------------------

    def _query(self) -> str:
        check_required(self._invocation)
        invocation = self._with_addresses(self._invocation)
        flags, args, does = invocation.flags, list(invocation.args), invocation.does
        for key in ADDRESSES:
            if key in invocation.given and key in invocation.command.required and not flags[key]:
                raise RefusedError(bech32_problem(""))
        asked = {
            key.replace("-", "_"): flags[key]
            for key in (*ADDRESSES, "dseq", "gseq", "oseq", "state", "denom", "account-id")
            if key in flags
        }
        asked |= self._page()
        if does in ("list_accounts", "list_payments"):
            asked |= _escrow_filters(args)
        elif does in ("balances", "spendable", "get_provider"):
            asked["address"] = args[0]
        if does in ("list_accounts", "list_payments") and {"limit", "offset", "page"} & invocation.given:
            self._beside.append("note: the real chain's escrow lists know no pages, all accounts are listed")
        answer = self._ask(does, **asked)
        self._note_hidden(invocation, asked, answer)
        return rendered(answer, str(flags["output"]))

    def _page(self) -> dict[str, Any]:
        flags = self._invocation.flags
        if "limit" not in flags:
            return {}
        page = {key.replace("-", "_"): flags[key] for key in _PAGE_KEYS}
        if flags["page"] > 1 and flags["offset"] > 0:
            raise RefusedError("page and offset cannot be used together: invalid request")
        if flags["page"] > 1:
            page["offset"] = (flags["page"] - 1) * flags["limit"]
        if flags["page-key"]:
            try:
                base64.b64decode(flags["page-key"], validate=True)
            except ValueError:
                raise RefusedError("invalid pagination key: invalid request") from None
        return page

    def _note_hidden(self, invocation: Invocation, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Say to a person that the real lists leave out all but the first group and order of each deployment, where they do."""
        hides = invocation.does in ("list_orders", "list_bids", "list_leases") and {"gseq", "oseq"} - invocation.given
        if not (hides and self._tells_hash and asked.get("oseq") == 1):
            return
        whole = self._ask(invocation.does, **{**asked, "gseq": 0, "oseq": 0})
        if whole["pagination"]["total"] != answer["pagination"]["total"]:
            self._beside.append("note: as on the real chain, only those of gseq 1 and oseq 1; --gseq 0 --oseq 0 lists all")

    def _get_tx(self) -> str:
        kind, text = self._invocation.flags["type"], self._invocation.args[0]
        if kind != "hash":
            raise RefusedError(
                f"unknown --type value {kind}" if kind not in ("acc_seq", "signature") else f"--type {kind} is not simulated"
            )
        if not text:
            raise RefusedError("argument should be a tx hash")
        _check_hex(text)
        found = self._ask("tx", hash=text)
        return rendered(whole_tx(found["receipt"], dict(found["message"]), str(found["time"])), str(self._invocation.flags["output"]))

    def _status(self) -> str:
        status = self.devnet.status()
        height, now = str(status["height"]), str(status["time"])
        moniker = str(status.get("name", "devnet"))
        answer = {
            "node_info": {
                "protocol_version": {"p2p": "8", "block": "11", "app": "0"},
                "id": hashlib.sha256(moniker.encode()).hexdigest()[:40],
                "listen_addr": "tcp://127.0.0.1:26656",
                "network": moniker,
                "version": "0.38",
                "channels": "",
                "moniker": moniker,
                "other": {"tx_index": "on", "rpc_address": "tcp://127.0.0.1:26657"},
            },
            "sync_info": {
                "latest_block_hash": hashlib.sha256(f"{moniker} block {height}".encode()).hexdigest().upper(),
                "latest_app_hash": hashlib.sha256(f"{moniker} app {height}".encode()).hexdigest().upper(),
                "latest_block_height": height,
                "latest_block_time": now,
                "earliest_block_hash": hashlib.sha256(f"{moniker} block 1".encode()).hexdigest().upper(),
                "earliest_app_hash": hashlib.sha256(f"{moniker} app 1".encode()).hexdigest().upper(),
                "earliest_block_height": "1",
                "earliest_block_time": str(status.get("began", now)),
                "catching_up": False,
            },
            "validator_info": {
                "Address": hashlib.sha256(f"{moniker} validator".encode()).hexdigest()[:40].upper(),
                "PubKey": {"type": "tendermint/PubKeyEd25519", "value": _public_key(f"{moniker} validator")},
                "VotingPower": "1",
            },
        }
        return as_yaml(answer) if self._invocation.flags["output"] == "text" else as_json(answer)

    def _version(self) -> str:
        if self._invocation.flags["long"]:
            answer = {"name": "virtengine", "server_name": "marketsim", "version": __version__, "commit": "", "build_tags": "", "go": ""}
            return as_json(answer) if self._invocation.flags["output"] == "json" else as_yaml(answer)
        return f"marketsim {__version__}\n"

    # --- keys -----------------------------------------------------------------------------------------------------------------

    def _list_keys(self) -> str:
        if self._invocation.flags["list-names"]:
            return "".join(f"{name}\n" for name in sorted(self.accounts))
        records = [_key_record(name, self.accounts[name]) for name in sorted(self.accounts)]
        return self._keys(records)

    def _keys(self, records: Sequence[Mapping[str, Any]], single: bool = False) -> str:
        if self._invocation.flags["output"] == "json":
            return as_json(records[0] if single else list(records))
        return as_yaml(list(records)) + "\n"

    def _show_key(self) -> str:
        flags, names = self._invocation.flags, self._invocation.args
        if len(names) > 1:
            raise RefusedError("multisig keys are not simulated")
        by_address = {address: name for name, address in self.accounts.items()}
        name = names[0] if names[0] in self.accounts else by_address.get(names[0])
        if name is None:
            problem = "Invalid key: key not found" if is_address(names[0]) else bech32_problem(names[0])
            raise RefusedError(f"{names[0]} is not a valid name or address: {problem}")
        if flags["address"] and flags["pubkey"]:
            raise RefusedError("cannot use both --address and --pubkey at once")
        if "output" in self._invocation.given and (flags["address"] or flags["pubkey"]):
            raise RefusedError("cannot use --output with --address or --pubkey")
        if flags["bech"] != "acc":
            raise RefusedError(
                f"--bech {flags['bech']} is not simulated"
                if flags["bech"] in ("val", "cons")
                else f"invalid Bech32 prefix encoding provided: {flags['bech']}"
            )
        record = _key_record(name, self.accounts[name])
        if flags["address"]:
            return f"{record['address']}\n"
        return f"{record['pubkey']}\n" if flags["pubkey"] else self._keys([record], single=True)

    def _add_key(self) -> str:
        name = self._invocation.args[0]
        for option in ("recover", "interactive"):
            if self._invocation.flags[option]:
                raise RefusedError(f"--{option} is not simulated: a devnet's keys are random secrets, there is no mnemonic")
        if name in self.accounts:
            raise RefusedError(f"key {name} is there already")  # the real one asks whether to overwrite it
        if self._invocation.flags["dry-run"]:
            return self._keys([_key_record(name, "")], single=True)
        self.devnet.add_key(name)
        self._accounts = None
        self._beside.append(
            f"note: the secret of {name} is in the devnet's folder; it has no coins yet: marketsim devnet faucet {name} 1000000"
        )
        return self._keys([_key_record(name, self.accounts[name])], single=True)

    # --- transactions ---------------------------------------------------------------------------------------------------------

    def _signer(self) -> str:
        """The name of the key that signs; `bank send` may have it before its other arguments."""
        takes_it = self._invocation.does == "send" and len(self._invocation.args) == 3
        given = self._invocation.args[0] if takes_it else str(self._invocation.flags["from"])
        if not given:
            return ""
        by_address = {address: name for name, address in self.accounts.items()}
        name = given if given in self.accounts else by_address.get(given, "")
        if not name:
            missing = "key not found" if is_address(given) else f"{given}.info: key not found"
            raise RefusedError(f"failed to convert address field to address: {missing}")
        return name

    def _transaction(self, written: Callable[[Invocation, Sender], Message]) -> str:
        signer = self._signer()
        check_required(self._invocation)
        if not signer:
            raise RefusedError('required flag(s) "from" not set')
        sender = Sender(self.accounts[signer], lambda: self._ask("least_deposits"), self._deployment)
        return self._send(written(self._with_addresses(self._invocation), sender), signer)

    def _deployment(self, owner: str, dseq: int) -> Mapping[str, Any]:
        return self._ask("get_deployment", owner=owner, dseq=dseq)

    def _send(self, message: Message, signer: str, tried: Receipt | None = None) -> str:
        """Try a message, unless that was done, and send it where that went well or a limit of gas was given."""
        flags = self._invocation.flags
        for option in ("offline", "aux", "ledger"):
            if flags[option]:
                raise RefusedError(f"--{option} is not simulated")
        if flags["generate-only"]:
            return as_json(
                {"body": {"messages": [unsigned(message)], "memo": flags["note"]}, "auth_info": {"signer_infos": []}, "signatures": []}
            )
        if flags["dry-run"] or flags["gas"] == "auto":
            tried = tried or self._submitted(message, signer, dry_run=True)
            if status_of(tried) != Status.Ok:
                raise RefusedError(refused(tried, message, self._ask))
            if flags["dry-run"]:
                self._beside.append(f"gas estimate: {int(int(tried['gas_used']) * flags['gas-adjustment'])}")
                return ""
        elif not str(flags["gas"]).isdigit():
            raise RefusedError('either integer or "auto" must be provided')
        receipt = self._submitted(message, signer, dry_run=False)
        if status_of(receipt) != Status.Ok and flags["gas"] == "auto":
            raise RefusedError(refused(receipt, message, self._ask))  # something has come between the try and the block
        if not int(receipt["height"]):
            self._beside.append("note: the devnet rests; the block is made by `marketsim devnet advance --blocks 1` or `resume`")
        if self._tells_hash:
            self._beside.append(f"txhash: {receipt['hash']}")
        answer = tx_answer(receipt, message)
        return as_yaml(answer) if flags["output"] == "text" else as_transaction(answer)

    def _submitted(self, message: Message, signer: str, *, dry_run: bool) -> Receipt:
        return self.devnet.submit([message], signer, dry_run=dry_run)[0]

    def _lease_close(self) -> str:
        """The document's form: the lease is found by its numbers and by who signs."""
        signer = self._signer()
        check_required(self._invocation)
        if not signer:
            raise RefusedError('required flag(s) "from" not set')
        invocation, own = self._with_addresses(self._invocation), self.accounts[signer]
        flags = invocation.flags
        asked = {key: flags[key] for key in ("dseq", "gseq", "oseq", *ADDRESSES)}
        found: dict[str, Mapping[str, Any]] = {}
        for state in ("active", "insufficient_funds"):
            for lease in self._ask("list_leases", **asked, state=state, limit=1_000)["leases"]:
                key = lease["lease"]["id"]
                if own in (key["owner"], key["provider"]):
                    found["/".join(str(key[part]) for part in ("owner", "dseq", "gseq", "oseq", "provider"))] = key
        numbers = " ".join(f"--{key} {flags[key]}" for key in ("dseq", "gseq", "oseq") if flags[key])
        if not found:
            raise RefusedError(f"{signer} has no active lease with {numbers}")
        if len(found) > 1:
            raise RefusedError(
                f"{signer} has {len(found)} active leases with {numbers}, add --owner:\n" + "\n".join(f"  {name}" for name in found)
            )
        ((name, key),) = found.items()
        if own == key["provider"]:
            return self._send({"op": "close_bid", "id": name, "reason": int(flags["reason"])}, signer)
        return self._send({"op": "close_lease", "id": name}, signer)

    def _submit_usage(self) -> str:
        signer = self._signer()
        check_required(self._invocation)
        if not signer:
            raise RefusedError('required flag(s) "from" not set')
        flags = self._invocation.flags
        lease = self._ask("lease_usage", lease_id=flags["lease-id"], provider=self.accounts[signer])
        if lease["meters_itself"]:
            raise RefusedError(
                f"lease {lease['id']} meters itself: its provider's daemon reports what it uses; leases of a provider with `usage: manual` "
                "(`marketsim devnet usage manual`) take reports"
            )
        if lease["used_until"] is None:
            raise RefusedError(f"lease {lease['id']} is not metered: this devnet charges by time, not by use")
        message = MESSAGES["submit_usage"](self._invocation, Sender(self.accounts[signer], dict, self._deployment))
        message["id"] = lease["id"]
        until = int(lease["height"]) + 1
        longest = _USAGE_LONGEST_MS // int(lease["block_ms"])
        if until - int(lease["used_until"]) > longest:
            message["since"] = until - longest
        tried = self._submitted(message, signer, dry_run=True)
        if status_of(tried) == Status.UsageInvalid:
            seconds = (until - int(message.get("since", lease["used_until"]))) * int(lease["block_ms"]) // 1000
            raise RefusedError(
                f"{refused(tried, message, self._ask)}\nthe record covers {seconds} s, since the last one or the lease's start: it must be "
                "a minute at least, and its use at most twice (cpu) and one and a half times (memory) what the lease reserves in it"
            )
        return self._send(message, signer, tried)

    def _settle_escrow(self) -> str:
        signer = self._signer()
        check_required(self._invocation)
        if not signer:
            raise RefusedError('required flag(s) "from" not set')
        account = self._ask("settled_account", account_id=self._invocation.flags["escrow-id"])
        return self._send({"op": "settle_escrow", "id": account["id"]}, signer)


_OWN: Mapping[str, Callable[[_Execution], str]] = {
    "get_tx": _Execution._get_tx,
    "status": _Execution._status,
    "version": _Execution._version,
    "list_keys": _Execution._list_keys,
    "show_key": _Execution._show_key,
    "add_key": _Execution._add_key,
    "lease_close": _Execution._lease_close,
    "submit_usage": _Execution._submit_usage,
    "settle_escrow": _Execution._settle_escrow,
}
"""What is carried out in its own way."""


def _escrow_filters(args: Sequence[str]) -> dict[str, Any]:
    """State and id of an escrow list, as its command reads them."""
    found: dict[str, Any] = {}
    if args:
        if args[0] not in ("open", "closed", "overdrawn"):
            raise RefusedError("invalid account state. allowed values - open|closed|overdrawn")
        found["state"] = args[0]
    if len(args) > 1:
        if args[1].strip("/").split("/")[0] not in ("deployment", "bid"):
            raise RefusedError("invalid xid scope prefix. allowed values - deployment|bid")
        found["xid"] = args[1]
    return found


def _check_hex(text: str) -> None:
    odd = next((letter for letter in text if letter not in "0123456789abcdefABCDEF"), None)
    if odd is not None:
        raise RefusedError(f"encoding/hex: invalid byte: U+{ord(odd):04X} '{odd}'")
    if len(text) % 2:
        raise RefusedError("encoding/hex: odd length hex string")


def _public_key(name: str) -> str:
    """A public key's text: nobody signs on a devnet, so it stands for one."""
    return base64.b64encode(b"\x02" + hashlib.sha256(f"key {name}".encode()).digest()).decode()


def _key_record(name: str, address: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "local",
        "address": address,
        "pubkey": f'{{"@type":"/cosmos.crypto.secp256k1.PubKey","key":"{_public_key(name)}"}}',
    }


__all__ = ["STRICT", "CommandOutput", "Devnet", "execute"]
