"""The core of a devnet: a market without an end, its accounts and its write-ahead log, in one process and with one owner."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self

from marketsim.chain.parsing import GOVERNANCE, SIGNERS
from marketsim.chain.status import SEED_CODES, Status
from marketsim.devnet.accounts import PROVIDER, VALIDATOR, AccountKey, account_names, new_key, wallet_of_key
from marketsim.devnet.addresses import Addresses
from marketsim.devnet.folder import keep_secret, take_lock, write_private
from marketsim.devnet.history import History, Tx
from marketsim.devnet.journal import LINES_KEPT, UNIT, Journal
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.words.facts import MarketFacts, Told, chain_answer
from marketsim.devnet.world import CONFIG, whole_changes, with_trainee, world_of, write_config
from marketsim.devnet.write_ahead import Entry, Read, WriteAheadLog, read_log
from marketsim.errors import InputError
from marketsim.metrics.panels import LOWEST
from marketsim.metrics.series import MarketSnapshot
from marketsim.report.explain import explain
from marketsim.scenario.load import load_scenario
from marketsim.scenario.model import Scenario
from marketsim.simulation.live import LiveMarket, Progress
from marketsim.simulation.play import versions

SCENARIO = "training"
"""What a devnet plays where nobody says otherwise."""
DEFAULT_NAME = "devnet"
ACCOUNTS_FIRST = 10
"""Funded accounts of a new devnet, where nobody says otherwise."""
CHECKPOINT_BLOCKS = 14_400
"""The log notes the fingerprint every so many blocks, by which a replay is checked."""
REST_BLOCKS = 4_800
"""What is over goes from memory every so many blocks."""
SNAPSHOTS_HELD = 3
"""Of the stack, the snapshots that are held in memory; older ones are made again from the log."""
PAGE = 100
"""Records of a page where nobody says how many."""
PAGE_MAX = 1_000
MESSAGES_MAX = 1_000
"""Most messages that are taken at once."""
BY_VALIDATOR = frozenset({"faucet", "fault", "repair"})
"""Messages to the market, beside those that governance alone may sign, that the validator signs in its place."""
Page = dict[str, Any]
Receipts = list[dict[str, Any]]
_CODESPACES = ((50, "market"), (70, "escrow"), (90, "deployment"), (100, "sdk"), (1_000, "marketsim"))


class Destination(NamedTuple):
    """Where an advance goes to: the event that is awaited, None for none; the height that is wanted, and the one at which it ends."""

    condition: Mapping[str, Any] | None
    wanted: int
    height: int


class _Held(NamedTuple):
    """A snapshot in memory."""

    market: LiveMarket
    journal: Journal


class DevnetNode:
    """A devnet in this process; whoever calls it must be the only one to do so at a time.

    Everything that changes it is in its log, on the disk, before the call returns. Ids, owners and providers are given and answered as
    addresses (`ve1…`); keys ("tenant") and names of wallets ("students-3") are taken too. Amounts are decimal texts of uve.
    """

    def __init__(self, folder: Path, name: str, lock: Any, log: WriteAheadLog, begin: Entry, note: str) -> None:
        """Not to be called; `open` makes one."""
        self.folder = folder
        self.name = name
        self.note = note
        """What was found when the devnet was opened, such as a torn tail that was cut; "" for nothing."""
        self.speed: float = 1.0
        self.paused = False
        self.lag_blocks = 0
        """Blocks that the devnet is behind its pace, which its server says."""
        self.keys: dict[str, AccountKey] = {}
        """Accounts by name: address and the hash of the secret."""
        self._lock = lock
        self._log = log
        self._begin = begin
        self._scenario = world_of(begin["scenario"], Path(begin["base"]))
        self._history = History(folder / "logs" / f".{name}.sqlite")
        self._stack: list[tuple[str, int, int]] = []
        self._held: dict[str, _Held] = {}
        self._checked = 0
        self._rested = 0
        for row in begin["keys"]:
            self.keys[row[0]] = AccountKey(*row)
        self._start()

    # --- opened ------------------------------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        scenario: str | os.PathLike[str] | Mapping[str, Any] | Scenario | None = None,
        *,
        speed: float | None = None,
        accounts: int | None = None,
        new: str | None = None,
        seed: int | None = None,
    ) -> Self:
        """Return the devnet of a folder: the one whose log is there, gone on with where the log ends, or a new one of a scenario.

        `new` begins another one of this name beside it. `speed` is blocks' time by wall time (0: each message makes a block), which
        whoever paces the devnet reads; None leaves it as it was (1 at first). The folder is locked until `close`. Raises InputError
        when another process has it, when the log goes on with another scenario, and for a log that is damaged.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        lock = take_lock(path)
        try:
            current = path / "current"
            name = current.read_text().strip() if current.exists() else ""
            if not name and _log_path(path, DEFAULT_NAME).exists():
                name = DEFAULT_NAME  # it ended between its first line and the note of which log this is
            if new is not None or not name:
                node = cls._new(path, lock, new or DEFAULT_NAME, scenario, ACCOUNTS_FIRST if accounts is None else accounts, seed)
                write_private(current, f"{node.name}\n")
            else:
                node = cls._again(path, lock, name, scenario)
                node.refuse_others(accounts, seed)
            if speed is not None and speed != node.speed:
                node.set_clock(speed=speed)
        except BaseException:
            lock.close()
            raise
        return node

    @classmethod
    def _new(cls, folder: Path, lock: Any, name: str, source: Any, accounts: int, seed: int | None) -> Self:
        if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 64:
            raise InputError(f"--new: {name!r} is no name, write letters, digits, - and _")
        scenario = load_scenario(SCENARIO if source is None else source)
        data = with_trainee(scenario, accounts, write_config(folder))
        if seed is not None:
            data["seed"] = seed
        base = str(Path(scenario._base).resolve())
        world_of(data, Path(base))
        keys, secrets = [], {}
        for key_name in account_names(accounts):
            key, secret = new_key(key_name)
            keys.append(list(key))
            secrets[key_name] = secret
        begin = {
            "kind": "begin",
            "name": name,
            "versions": versions(),
            "chosen": scenario.name,
            "source": fingerprint_of(scenario),
            "base": base,
            "scenario": data,
            "keys": keys,
        }
        if _log_path(folder, name).exists():
            raise InputError(f"{_log_path(folder, name)}: is there already, give --new another name")
        for key_name, secret in secrets.items():
            keep_secret(folder, name, key_name, secret)
        log = WriteAheadLog.begin(_log_path(folder, name), begin)
        return cls(folder, name, lock, log, begin, "")

    @classmethod
    def _again(cls, folder: Path, lock: Any, name: str, source: Any) -> Self:
        path = _log_path(folder, name)
        way_out = f"`marketsim devnet start --dir {folder} --new NAME` starts anew and keeps it"
        if not path.exists():
            raise InputError(f"{path}: the log of this devnet is not there; {way_out}")
        read = read_log(path, way_out)
        begin = read.entries[0] if read.entries else {}
        if begin.get("kind") != "begin":
            raise InputError(f"{path}:1: does not begin with the devnet's scenario; {way_out}")
        now = versions()
        if begin["versions"].get("marketsim") != now["marketsim"]:
            was = begin["versions"].get("marketsim")
            raise InputError(f"{path}: is of marketsim {was}, this is {now['marketsim']}, whose markets may differ; {way_out}")
        if source is not None and fingerprint_of(load_scenario(source)) != begin["source"]:
            raise InputError(f"{folder}: goes on with {begin['chosen']} as it was, not with another scenario; leave it out, or {way_out}")
        note = f"{path}: a torn line at its end was cut ({read.torn} bytes), which nobody had been answered" if read.torn else ""
        node = cls(folder, name, lock, WriteAheadLog.go_on(path, read), begin, note)
        node._replay(read, way_out)
        return node

    def refuse_others(self, accounts: int | None, seed: int | None) -> None:
        """Raise InputError where somebody wants another seed or another number of accounts than the devnet began with."""
        for name, wanted, has in (("seed", seed, self._scenario.seed), ("accounts", accounts, len(self._begin["keys"]))):
            if wanted is not None and wanted != has:
                raise InputError(f"{self.folder}: --{name}: the devnet goes on with {has} as it began; leave it out, or give --new NAME")

    def _start(self) -> None:
        """Begin the market at height 0, with everything that is told of it."""
        self._market = LiveMarket(self._scenario, open_end=True, listens=True, tables=self.folder)
        self._with_market()
        self._history.begin_again()
        names = [f"{cohort.name}-{index}" for cohort in self._scenario.providers for index in range(cohort.count)]
        slot = names.index(wallet_of_key(PROVIDER))
        self._journal = Journal(slot, self._scenario.start.time, self._scenario.block_ms, self._order_name)
        self._market.listen(self._journal)

    def _with_market(self) -> None:
        aliases = {name: wallet_of_key(name) for name in self.keys}
        self._addresses = Addresses(self._market.wallet_names, aliases)

    def _order_name(self, row: int) -> str:
        return self._addresses.address_id(self._market.order_name(row))

    # --- the log ------------------------------------------------------------------------------------------------------------------

    def _note(self, entry: Entry) -> str:
        """Hand a line to the machine; return its hash."""
        line = self._log.append(entry)
        self._log.write()
        return line

    def _write(self, entry: Entry) -> str:
        """Bring a line onto the disk; return its hash."""
        line = self._note(entry)
        self._log.sync()
        return line

    def _replay(self, read: Read, way_out: str) -> None:
        """Make the market again from the lines of its log."""
        for entry in read.entries[1:]:
            kind = entry["kind"]
            if kind == "key":
                self.keys[entry["key"][0]] = AccountKey(*entry["key"])
            elif kind == "clock":
                self.speed, self.paused = entry["speed"], entry["paused"]
            elif kind == "revert":
                self._cut(entry["name"])
            else:
                self._history.append(entry, entry["hash"])
                self._merge()
                if kind == "snapshot":
                    self._stack.append((entry["name"], len(self._history), entry["height"]))
        self._with_market()
        try:
            self._play()
        except _DifferentError as error:
            changed = [f"{name} {was} -> {versions().get(name)}" for name, was in self._begin["versions"].items()]
            raise InputError(
                f"{self._log.path}: {error}; it was written with other packages ({'; '.join(changed)}) or for another machine; {way_out}"
            ) from None

    def _play(self) -> None:
        """Do what the history tells, from the beginning of the market."""
        for number, (entry, line) in enumerate(self._history):
            if entry["kind"] == "messages":
                self._take(entry, line, number)
            if "advance" in entry and entry["advance"] > self._market.height:
                self._market.advance(entry["advance"])
            if entry["kind"] == "checkpoint" and entry["height"] == self._market.height:
                self._checked = entry["height"]
                if self._market.fingerprint() != entry["fingerprint"]:
                    raise _DifferentError(f"its market is another one at block {entry['height']} than when it was written")

    def _take(self, entry: Entry, line: str, step: int) -> list[str]:
        """Let the messages of a step wait for their block, and return their hashes."""
        hashes = []
        for number, message in enumerate(entry["messages"]):
            signer = entry["signer"]
            parsed = self._signed(message, signer)
            ticket = self._market.submit({**message, "height": entry["height"]}, signer=parsed)
            hashes.append(tx_hash(line, number))
            self._history.enter(hashes[-1], step, number, ticket, message)
        return hashes

    def _cut(self, name: str) -> None:
        """Forget what has happened since a snapshot."""
        at = max(index for index, each in enumerate(self._stack) if each[0] == name)
        for gone in self._stack[at + 1 :]:
            self._held.pop(gone[0], None)
        self._stack = self._stack[: at + 1]
        self._history.cut(self._stack[at][1])

    # --- who signs what --------------------------------------------------------------------------------------------------------------

    def _signed(self, message: Mapping[str, Any], signer: str) -> str | None:
        """Return the wallet that a message's signer is in the market: governance where the validator signs what only that may."""
        if message["op"] == "grant":
            return None
        wallet = wallet_of_key(signer) if signer in self.keys else signer
        if signer == VALIDATOR and (message["op"] in BY_VALIDATOR or SIGNERS.get(message["op"]) == GOVERNANCE):
            return GOVERNANCE
        return wallet

    def _prepared(self, message: Mapping[str, Any], signer: str, taken: set[str]) -> dict[str, Any]:
        """Return a message as the market takes it, by names, after it was looked at. Raises InputError for what is none."""
        if not isinstance(message, Mapping) or not isinstance(message.get("op"), str):
            raise NodeError("message: is not a mapping with op:, such as {op: close_deployment, id: tenant/119}")
        try:
            json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise NodeError(f"message: cannot be written down as JSON ({error})") from None
        given = self._addresses.named({key: value for key, value in message.items() if key not in ("height", "signer", "result")})
        wallet = wallet_of_key(signer)
        if given["op"] == "create_deployment" and isinstance(given.get("id"), str) and "/" not in given["id"]:
            given["id"] = self._numbered(given["id"] or wallet, taken)
        if given["op"] == "grant":
            if given.get("granter", wallet) != wallet:
                raise NodeError(f"message: {signer} signs for {self.keys[signer].address} only, not as the granter", 403)
            given["signer"] = self._addresses.name(str(message.get("signer", "")))
            given["granter"] = wallet
        elif "signer" in message and self._addresses.name(str(message["signer"])) not in (wallet, GOVERNANCE):
            raise NodeError(f"message: {signer} signs for {self.keys[signer].address} only, signer: says another one", 403)
        if given["op"] == "fault" and given.get("kind") == "python":
            raise NodeError("message.kind: a devnet runs no code that a message names; plan such a fault in its scenario")
        try:
            self._market.parse(given, signer=self._signed(given, signer))
        except InputError as error:
            raise NodeError(error.lines) from None
        return given

    def _numbered(self, owner: str, taken: set[str]) -> str:
        """Return the id of an owner's next deployment: the height at which it is made, plus one while it has one of that number."""
        view, dseq = self._market.view(), max(1, self._market.height)
        while f"{owner}/{dseq}" in taken or view.deployment(f"{owner}/{dseq}") is not None:
            dseq += 1
        taken.add(f"{owner}/{dseq}")
        return f"{owner}/{dseq}"

    # --- told ------------------------------------------------------------------------------------------------------------------------

    def submit(self, messages: Mapping[str, Any] | Sequence[Mapping[str, Any]], signer: str, *, dry_run: bool = False) -> Receipts:
        """Take messages, mappings as in `messages:` of a scenario, signed by the key of this name, into one block; return a receipt
        each.

        `create_deployment` may give the owner alone as `id`: it gets the number of the height. With `dry_run` nothing changes, and the
        receipts say what would be. Raises InputError for what is no message, and then takes none of them.
        """
        prepared = self.prepare(messages, signer)
        if dry_run:
            return self._tried(prepared, signer)
        hashes = self.enqueue(prepared, signer, advance=True)
        self.sync()
        self.go_to(self._market.height + 1)
        return [self.receipt(each) for each in hashes]

    def prepare(
        self, messages: Mapping[str, Any] | Sequence[Mapping[str, Any]], signer: str, taken: set[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return messages as `enqueue` takes them; `taken` are the ids of deployments that wait for a block already. Raises InputError for
        what is no message, and for an unknown signer."""
        given = [messages] if isinstance(messages, Mapping) else list(messages)
        if not 1 <= len(given) <= MESSAGES_MAX:
            raise NodeError(f"messages: {len(given)} at once, accepted 1 to {MESSAGES_MAX}")
        self.key(signer)
        if self._market.height + len(given) >= self._market.scenario.horizon_blocks:
            raise NodeError(f"messages: the devnet has come to its last block, {self._market.scenario.horizon_blocks}", 409)
        taken = set() if taken is None else taken
        return [self._prepared(message, signer, taken) for message in given]

    def key(self, name: str) -> AccountKey:
        """Return a key by its name or address. Raises InputError for one that is not there."""
        found = self.keys.get(name) or next((key for key in self.keys.values() if key.address == name), None)
        if found is None:
            raise NodeError(f"signer: {name!r} is no key of this devnet, which has {', '.join(self.keys)}", 403)
        return found

    def enqueue(self, prepared: Sequence[Mapping[str, Any]], signer: str, *, advance: bool, behind: int = 0) -> list[str]:
        """Let messages wait for the next block, or for one `behind` it, and return their hashes; `sync` brings them onto the disk. With
        `advance` the log says that the block is made, which `go_to` then has to do."""
        height = self._market.height + 1 + behind
        entry: Entry = {"kind": "messages", "height": height, "signer": self.key(signer).name, "messages": list(prepared)}
        if advance:
            entry["advance"] = height
        line = self._log.append(entry)
        self._history.append(entry, line)
        return self._take(entry, line, len(self._history) - 1)

    def sync(self) -> None:
        """Bring what was enqueued onto the disk."""
        self._log.sync()

    def _tried(self, prepared: Sequence[Mapping[str, Any]], signer: str) -> Receipts:
        fork = self._market.fork(trial=True)
        tickets = [fork.submit(message, signer=self._signed(message, signer)) for message in prepared]
        fork.advance(fork.height + 1)
        told = [self._receipt("", fork, Tx(ticket, message, signer)) for ticket, message in zip(tickets, prepared, strict=True)]
        fork.close()
        return told

    def tx(self, hash: str) -> dict[str, Any] | None:
        """Return the receipt of a message by its hash, None for one that is not known."""
        tx = self._history.tx(hash)
        return None if tx is None else self._receipt(hash.upper(), self._market, tx)

    def receipt(self, hash: str) -> dict[str, Any]:
        """Return the receipt of a message by its hash; its height is 0 while its block is not made."""
        tx = self._history.tx(hash)
        assert tx is not None
        return self._receipt(hash, self._market, tx)

    def _receipt(self, hash: str, market: LiveMarket, tx: Tx) -> dict[str, Any]:
        found = market.receipt(tx.ticket)
        told = self._addresses.addressed({"hash": hash, "op": tx.message["op"], "signer": wallet_of_key(tx.signer)})
        if found is None:
            return told | {
                "height": 0,
                "code": 0,
                "codespace": "",
                "raw_log": "",
                "gas_used": 0,
                "fee": 0,
                "id": "",
                "result": "",
                "events": [],
            }
        status = Status(found.status)
        events = [_plain(self._addresses.addressed(event)) for event in found.events]
        what = self._addresses.address_id(found.id) if "/" in found.id else self._addresses.address(found.id) if found.id else ""
        return told | {
            "height": found.height,
            "code": int(status),
            "codespace": "" if status == Status.Ok else codespace(status),
            "raw_log": "" if status == Status.Ok else raw_log(status),
            "gas_used": found.gas,
            "fee": found.fee,
            "id": what,
            "result": found.result,
            "events": events,
        }

    def chain_answer(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return {"answer": …}, what a query of the real chain answers with its field names, or {"refused": text}, what its command line
        says; `what` is one of `marketsim.devnet.words.answers.QUERIES`."""
        return chain_answer(MarketFacts(self._market, self._addresses, self.keys, self._told, self._history.sent_groups), what, asked)

    def _told(self, hash: str) -> Told | None:
        """A receipt, its message with addresses, and the time of its block."""
        tx = self._history.tx(hash)
        if tx is None:
            return None
        receipt = self._receipt(hash.upper(), self._market, tx)
        return (receipt, self._addresses.addressed(tx.message), self.time_of(receipt["height"])) if receipt["height"] else None

    def faucet(self, account: str, amount: int) -> dict[str, Any]:
        """Give whole uve to an account, a key's name or an address; return the receipt."""
        message = {"op": "faucet", "wallet": account, "amount": amount}
        return self.submit(message, VALIDATOR)[0]

    def usage(self, mode: str) -> dict[str, Any]:
        """Say how the provider's leases from here on report their use: auto or manual; return the receipt."""
        return self.submit(self.usage_message(mode), PROVIDER)[0]

    @staticmethod
    def usage_message(mode: str) -> dict[str, Any]:
        """Return what is said to the market for `usage`."""
        if mode not in ("auto", "manual"):
            raise NodeError(f"usage: {mode!r} is no way to report use, write auto or manual")
        return {"op": "usage", "provider": PROVIDER, "mode": "metered" if mode == "auto" else "manual"}

    def reload_provider_config(self) -> dict[str, Any]:
        """Read provider-config.yaml again and give it to the provider's engine; return the receipt.

        Raises InputError with every error of the file located; the engine goes on with the old one then.
        """
        return self.submit(self.config_message(), PROVIDER)[0]

    def config_message(self) -> dict[str, Any]:
        """Return what is said to the market for `reload_provider_config`."""
        return {"op": "configure", "provider": PROVIDER, "changes": whole_changes(self.folder / CONFIG)}

    def add_key(self, name: str) -> tuple[AccountKey, str]:
        """Return a new key, whose account has no coins, and its secret, which nobody can ask for again.

        Raises InputError when there is one of that name, and for a name that a wallet of the market has.
        """
        if name in self.keys:
            raise NodeError(f"key: {name} is there already", 409)
        if self._addresses.name(name) in self._market.wallet_names:
            raise NodeError(f"key: {name} is the name of somebody else's wallet, give another one", 409)
        key, secret = new_key(name)
        self._write({"kind": "key", "key": list(key)})
        self.keys[name] = key
        self._with_market()
        keep_secret(self.folder, self.name, name, secret)
        return key, secret

    # --- advanced ----------------------------------------------------------------------------------------------------------------------

    def advance(self, blocks: int | None = None, *, until: str | int | None = None, limit: int | None = None) -> dict[str, Any]:
        """Make blocks: so many, or until a height, `+N`, or an event `KIND[:ID]` such as `LeaseCreated:ve1…/119/1/1/ve1…`, for at most
        `limit` blocks. Return where it stands, and whether what was awaited has happened (`met`)."""
        *_, last = self.advancing(blocks, until=until, limit=limit)
        self.sync()
        return {"height": last.height, "until": last.until, "met": last.met}

    def advancing(
        self,
        blocks: int | None = None,
        *,
        until: str | int | None = None,
        limit: int | None = None,
        slice_blocks: Callable[[], int] = lambda: 1_000,
    ) -> Iterator[Progress]:
        """Do what `advance` does, in slices, whenever the next one is asked for; where it goes to is decided now."""
        goal = self.goal(blocks, until, limit)
        return self._to_height(goal, slice_blocks) if goal.condition is None else self._to_event(goal, goal.condition, slice_blocks)

    def _to_height(self, goal: Destination, slice_blocks: Callable[[], int]) -> Iterator[Progress]:
        while self._market.height < goal.height:
            self.tick(min(goal.height, self._market.height + slice_blocks()))
            if self._market.height >= goal.height:
                self._rest()
            yield Progress(self._market.height, goal.height, self._market.height >= goal.wanted)
        yield Progress(self._market.height, goal.height, self._market.height >= goal.wanted)

    def _to_event(self, goal: Destination, condition: Mapping[str, Any], slice_blocks: Callable[[], int]) -> Iterator[Progress]:
        met = False
        while self._market.height < goal.height and not met:
            # Nobody is answered within a slice, so the log may say afterwards how far it went.
            found = self._market.advance_until(condition, min(goal.height, self._market.height + slice_blocks()))
            self._keep({"kind": "advance", "advance": found.height})
            self._after(found.height)
            met = found.met
            if met or found.height >= goal.height:
                self._rest()
            yield Progress(found.height, goal.height, met)
        yield Progress(self._market.height, goal.height, met)

    def goal(self, blocks: int | None, until: str | int | None, limit: int | None) -> Destination:
        """Return where an advance goes to. Raises NodeError for one that cannot be."""
        if (blocks is None) == (until is None):
            raise NodeError("advance: give blocks or until, one of the two")
        for name, value in (("blocks", blocks), ("limit", limit)):
            if value is not None and value < 0:
                raise NodeError(f"advance: {name}: {value} is below 0")
        height = self._market.height
        most = self._market.scenario.horizon_blocks if limit is None else height + limit
        if blocks is not None:
            wanted = self._within(height + blocks)
            return Destination(None, wanted, min(wanted, most))
        text = str(until)
        if text.removeprefix("+").isascii() and text.removeprefix("+").isdigit() and len(text) < 20:
            wanted = self._within(height + int(text[1:]) if text.startswith("+") else int(text))
            if wanted < height:
                raise NodeError(f"advance: block {wanted} lies behind, the devnet stands at {height}")
            return Destination(None, wanted, min(wanted, most))
        kind, colon, name = text.partition(":")
        if kind not in EVENT_KINDS:
            raise NodeError(f"advance: {kind[:100]!r} is neither a height, +N nor an event; events are {', '.join(EVENT_KINDS)}")
        condition = {"event": kind} | ({"id": self._addresses.name_id(name)} if colon else {})
        last = self._within(min(height + EVENT_LIMIT, self._market.scenario.horizon_blocks) if limit is None else most)
        return Destination(condition, last, last)

    def _within(self, height: int) -> int:
        last = self._market.scenario.horizon_blocks
        if height > last:
            raise NodeError(f"advance: block {height} is beyond the last one that a devnet makes, {last}")
        return height

    def tick(self, height: int) -> None:
        """Make blocks up to a height. The log says so first: a crash of this process does not undo it, nor does one of the machine after
        `sync`."""
        if height > self._market.height:
            self._keep({"kind": "advance", "advance": height})
            self.go_to(height)

    def go_to(self, height: int) -> None:
        """Make the blocks that the log says."""
        self._market.advance(height)
        self._after(height)

    def _after(self, height: int) -> None:
        """Keep the history short, and note the fingerprint now and then; what is over goes from memory."""
        self._merge()
        if height - self._checked >= CHECKPOINT_BLOCKS:
            self._checked = height
            entry = {"kind": "checkpoint", "height": height, "fingerprint": self._market.fingerprint()}
            self._history.append(entry, self._log.append(entry))
        if abs(height - self._rested) >= REST_BLOCKS:
            self._rest()

    def _rest(self) -> None:
        """Let what is over go from memory."""
        if self._rested != self._market.height:
            self._rested = self._market.height
            self._market.rest()

    def _merge(self) -> None:
        """Let advances that follow each other be one in the history."""
        self._history.merge(self._stack[-1][1] if self._stack else 0)

    def _keep(self, entry: Entry) -> None:
        """Note a line and take it into the history."""
        self._history.append(entry, self._note(entry))

    def set_clock(self, *, speed: float | None = None, paused: bool | None = None) -> None:
        """Note at which speed the devnet goes, and whether it rests."""
        speed, paused = self.speed if speed is None else speed, self.paused if paused is None else paused
        self._write({"kind": "clock", "speed": speed, "paused": paused})
        self.speed, self.paused = speed, paused

    # --- there and back ----------------------------------------------------------------------------------------------------------------

    def snapshot(self, name: str) -> dict[str, Any]:
        """Put the devnet as it is on the stack, under a name. Raises InputError for a name that is on it."""
        if not name or len(name) > 64 or not name.isprintable():
            raise NodeError(f"snapshot: {name!r} is no name, write up to 64 letters")
        if any(each[0] == name for each in self._stack):
            raise NodeError(f"snapshot: {name} is on the stack already, give another name", 409)
        height = self._market.height
        entry = {"kind": "snapshot", "name": name, "height": height}
        self._history.append(entry, self._write(entry))
        self._stack.append((name, len(self._history), height))
        self._hold(name)
        return {"name": name, "height": height, "stack": [each[0] for each in self._stack]}

    def _hold(self, name: str) -> None:
        fork = self._market.fork()
        self._market.events_heard()
        self._held[name] = _Held(fork, self._journal.copy())
        while len(self._held) > SNAPSHOTS_HELD:
            del self._held[next(iter(self._held))]

    def revert(self, name: str | None = None) -> dict[str, Any]:
        """Go back to a snapshot, the last one where none is named: market, clock and journal; those above it are gone from the stack."""
        names = [each[0] for each in self._stack]
        if not names:
            raise NodeError("revert: no snapshot was taken", 404)
        name = names[-1] if name is None else name
        if name not in names:
            raise NodeError(f"revert: {name!r} is not on the stack, which has {', '.join(names)}", 404)
        self._write({"kind": "revert", "name": name})
        self._cut(name)
        held = self._held.get(name)
        self._market.close()
        if held is None:
            self._start()
            self._play()
            self._hold(name)
        else:
            self._market = held.market.fork()
            self._with_market()
            self._journal = held.journal.copy()
            self._market.listen(self._journal)
        self._checked = min(self._checked, self._market.height)
        return {"name": name, "height": self._market.height, "stack": [each[0] for each in self._stack]}

    # --- asked -------------------------------------------------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        """The last block that was made."""
        return self._market.height

    @property
    def block_seconds(self) -> float:
        """Seconds of a block at speed 1."""
        return self._scenario.block_ms / 1000

    def status(self) -> dict[str, Any]:
        """Return where the devnet stands: height first, time, speed, accounts, what the provider's engine does."""
        view = self._market.view()
        mine = view.provider(wallet_of_key(PROVIDER))
        assert mine is not None
        return {
            "height": self._market.height,
            "time": self.time_of(self._market.height),
            "block_seconds": self.block_seconds,
            "name": self.name,
            "scenario": self._begin["chosen"],
            "seed": self._market.seed,
            "speed": self.speed,
            "paused": self.paused,
            "lag_blocks": self.lag_blocks,
            "snapshots": [each[0] for each in self._stack],
            "accounts": {key.name: key.address for key in self.keys.values()},
            "provider": {
                "address": self._addresses.address(mine.name),
                "up": mine.up,
                "blocked": mine.blocked,
                "active_leases": mine.active_leases,
                "lease_capacity": self._scenario.providers[-1].lease_capacity,
                "bids_submitted": mine.submitted,
                "bids_won": mine.won,
                "bids_lost": mine.lost,
                "cpu": {"capacity": mine.cpu, "leased": mine.cpu_leased},
                "memory": {"capacity": mine.memory, "leased": mine.memory_leased},
                "storage": {"capacity": mine.storage, "leased": mine.storage_leased},
                "gpu": {"capacity": mine.gpu, "leased": mine.gpu_leased},
            },
            "version": self._begin["versions"]["marketsim"],
            "note": self.note,
        }

    def time_of(self, height: int) -> str:
        """Return the moment of a block, as ISO text in UTC."""
        from datetime import timedelta

        at = self._scenario.start.time + timedelta(milliseconds=height * self._scenario.block_ms)
        return f"{at:%Y-%m-%dT%H:%M:%S}Z"

    def orders(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = PAGE) -> Page:
        """Return a page of orders: filters state, owner, deployment, id."""
        return self._page("orders", ("state", "owner", "deployment"), filter, after, limit)

    def bids(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = PAGE) -> Page:
        """Return a page of bids: filters state, provider, order, id."""
        return self._page("bids", ("state", "provider", "order"), filter, after, limit)

    def leases(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = PAGE) -> Page:
        """Return a page of leases: filters state, owner, provider, id."""
        return self._page("leases", ("state", "owner", "provider"), filter, after, limit)

    def deployments(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = PAGE) -> Page:
        """Return a page of deployments: filters state, owner, id."""
        return self._page("deployments", ("state", "owner"), filter, after, limit)

    def escrow(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = PAGE) -> Page:
        """Return a page of escrow accounts: filters state, owner, scope (deployment, bid or all), id."""
        wanted = dict(filter or {})
        if wanted.get("scope") == "all":
            wanted["scope"] = None
        return self._page("accounts", ("state", "owner", "scope"), wanted, after, limit, "escrow")

    def providers(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = PAGE) -> Page:
        """Return a page of providers: filters registered, id."""
        return self._page("providers", ("registered",), filter, after, limit)

    def wallets(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = PAGE) -> Page:
        """Return a page of wallets: filter id, a key's name or an address."""
        return self._page("wallets", (), filter, after, limit)

    def _page(
        self, what: str, allowed: Sequence[str], filters: Mapping[str, Any] | None, after: int, limit: int, called: str | None = None
    ) -> Page:
        """Return records of a table as plain data under its name, with `next` (None at the end) and `height`."""
        called = called or what
        wanted = {key: value for key, value in (filters or {}).items() if value is not None or key == "scope"}
        for key in wanted:
            if key not in (*allowed, "id"):
                raise NodeError(f"{called}: {key!r} is no filter, expected {', '.join((*allowed, 'id'))}")
        if not 1 <= limit <= PAGE_MAX:
            raise NodeError(f"{called}: limit: {limit}, accepted 1 to {PAGE_MAX}")
        if after < -1:
            raise NodeError(f"{called}: after: {after}, accepted from -1 on")
        named = self._addresses.named({key: value for key, value in wanted.items() if key != "id"})
        view = self._market.view()
        try:
            if "id" in wanted:
                name = self._addresses.name_id(str(wanted["id"]))
                one = getattr(view, what[:-1])(name)
                kept = [] if one is None or any(not _agrees(one, key, value) for key, value in named.items()) else [one]
                following = None
            else:
                page = getattr(view, what)(**named, after=after, limit=limit)
                kept, following = list(page), page.next
        except InputError as error:
            raise NodeError(error.lines) from None
        return {called: [self._record(record) for record in kept], "next": following, "height": self._market.height}

    def _record(self, record: Any) -> dict[str, Any]:
        told = self._addresses.addressed(record._asdict())
        if "deposits" in told:
            told["deposits"] = [
                {"depositor": self._addresses.address(who), "source": source, "amount": str(left)} for who, source, left in told["deposits"]
            ]
            told["id"] = self._addresses.address_id(record.id)
        if "name" in told:
            told |= {"address": told.pop("name"), "wallet": record.name}
        return _plain(told)

    def name_of(self, address: str) -> str:
        """Return the name of the wallet that an address stands for; one that nobody has stays as it is."""
        return self._addresses.name(address)

    def events(self, after: int = 0, limit: int = PAGE) -> dict[str, Any]:
        """Return what happened, from event number `after` on: events, `next` (what to give as `after`), `lost` that are gone."""
        page = self._market.events(max(0, after), max(1, min(limit, PAGE_MAX)))
        events = [_plain(self._addresses.addressed(event)) for event in page.events]
        return {"events": events, "first": page.first, "next": page.following, "lost": page.lost, "height": self._market.height}

    def events_heard(self) -> int:
        """Return how many events there were so far."""
        return self._market.events_heard()

    def journal(self, unit: str = UNIT, n: int = 100) -> list[str]:
        """Return the last lines of a daemon, as `journalctl` prints them: for each order the filter that refused it or the price of the
        bid, and what became of it. Raises InputError for another unit than provider-daemon."""
        if unit.removesuffix(".service") != UNIT:
            raise NodeError(f"unit: {unit!r} is not there, the devnet runs {UNIT}", 404)
        self._market.events_heard()
        restarts = [self.receipt(each) for each in self._history.configured()]
        said = [
            (receipt["height"], f"bid-engine: began anew with {CONFIG}: {receipt['result']}") for receipt in restarts if receipt["result"]
        ]
        return self._journal.lines(n, said)

    def metrics(self) -> bytes:
        """Return the page of `/metrics`: the series of docs/prometheus.md now."""
        from marketsim.metrics.openmetrics import page
        from marketsim.metrics.series import samples

        return page(samples(self._measured()))

    def dashboard(self, provider: str | None = None, lowest: int = LOWEST) -> dict[str, Any]:
        """Return the figures of the training document's dashboard now, of one provider (a key's name or an address) or of all together:
        `marketsim.metrics.panels.dashboard_figures`, and the clock. `lowest` is how many leases are listed, those whose funds end first."""
        from marketsim.metrics.panels import dashboard_figures

        address = None if provider is None else self._addresses.address(self._addresses.name(provider))
        at = self._measured()
        try:
            found = dashboard_figures(at, self._journal.recent, address, lowest)
        except KeyError:
            raise NodeError(f"dashboard: {provider!r} is no provider", 404) from None
        clock = {"time": self.time_of(at.height), "block_seconds": self.block_seconds, "speed": self.speed, "paused": self.paused}
        return found | clock | {"lag_blocks": self.lag_blocks, "name": self.name, "scenario": self._begin["chosen"]}

    def explain(self, target: str) -> str:
        """Return what is known of an order, a lease, a bid, a provider or a tenant up to now, as `marketsim explain` tells it of a run, and
        the lines of the own provider's daemon about it. Raises InputError for what is not there."""
        name = self._addresses.name_id(target)
        story = explain(self._market.record_so_far(), self._addresses.name(target) if "/" not in target else name)
        self._market.rest()
        self._market.events_heard()
        order = self._addresses.address_id("/".join(name.split("/")[:4]))
        said = [f"  {line}" for line in self._journal.lines(LINES_KEPT) if story.kind == "order" and f"order={order}" in line.split()]
        return "\n".join([str(story), *(["", f"{UNIT} of {PROVIDER}", *said] if said else [])])

    def _measured(self) -> MarketSnapshot:
        """The market's figures now; of what was looked at for them nothing stays in memory."""
        self._market.events_heard()
        at = self._market.measured(self._journal.bid_times, self._journal.moved, self.lag_blocks, self._addresses.address)
        self._market.rest()
        return at

    def fingerprint(self) -> str:
        """Return the fingerprint of what has happened in the market."""
        return self._market.fingerprint()

    def state_hash(self) -> str:
        """Return the hash of where the market stands."""
        return self._market.state_hash()

    def close(self) -> None:
        """Bring everything onto the disk and let the folder go."""
        self._log.close()
        self._history.close()
        self._lock.close()


def tx_hash(line: str, number: int) -> str:
    """Return the hash of message `number` of a line of the log, as chains write it."""
    return hashlib.sha256(f"{line}/{number}".encode()).hexdigest().upper()


class _DifferentError(Exception):
    """A replay gives another market than the log says."""


EVENT_LIMIT = 1_000_000
"""Blocks that are made at most while an event is awaited, unless it is said otherwise."""


def _event_kinds() -> tuple[str, ...]:
    from marketsim.chain.columns import EventKind

    return tuple(kind.name.title().replace("_", "") for kind in EventKind)


EVENT_KINDS = _event_kinds()


def fingerprint_of(scenario: Scenario) -> str:
    """Return a hash of everything that a scenario says."""
    text = json.dumps(scenario.effective(), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def codespace(status: Status) -> str:
    """Return the module that refused a message."""
    return next(name for last, name in _CODESPACES if int(status) <= last)


def raw_log(status: Status) -> str:
    """Return what a refusal says: its name as the chain spells it, and the training document's code where it has one."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in status.name).strip()
    code = SEED_CODES.get(status)
    return f"{words}: {status.name}" + (f" ({code})" if code else "")


def _plain(told: Mapping[str, Any]) -> dict[str, Any]:
    """Data that JSON has: amounts as texts, records as mappings."""
    return {key: _plain_value(value) for key, value in told.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, (tuple, list)):
        return [_plain_value(each) for each in value]
    return _plain(value) if isinstance(value, Mapping) else value


def _agrees(record: Any, key: str, value: Any) -> bool:
    found = getattr(record, key, None)
    return found == value or (isinstance(value, (list, tuple)) and found in value) or (key == "scope" and value is None)


def _log_path(folder: Path, name: str) -> Path:
    return folder / "logs" / f"{name}.jsonl"


__all__ = ["DevnetNode", "codespace", "raw_log"]
