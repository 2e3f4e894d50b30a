"""The `marketsim devnet` commands: a market on a laptop that runs on like a testnet, in a folder."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsim.errors import InputError

if TYPE_CHECKING:
    from marketsim.devnet.client import Client
    from marketsim.devnet.prometheus import ScrapingPrometheus

Folder = Annotated[Path, typer.Option("--dir", metavar="DIR", help="The devnet's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DIR = Path(".devnet")
LISTEN = "127.0.0.1:8443"
INSTALL = "pip install 'marketsim[devnet]'"
START_SECONDS = 120.0
"""How long `--detach` waits until the devnet answers."""
POLL_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    devnet = typer.Typer(help="A market of one's own that runs like a testnet: accounts, a log, a server.", no_args_is_help=True)
    for name, command in (
        ("start", start),
        ("status", status),
        ("advance", advance),
        ("pause", pause),
        ("resume", resume),
        ("speed", speed),
        ("logs", logs),
        ("snapshot", snapshot),
        ("revert", revert),
        ("faucet", faucet),
        ("usage", usage),
        ("fault", fault),
        ("repair", repair),
        ("shell", shell),
        ("stop", stop),
    ):
        devnet.command(name)(command)
    app.add_typer(devnet, name="devnet")


def start(
    scenario: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="A scenario or a shipped one; default: training.")] = None,
    folder: Folder = DIR,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background once it answers.")] = False,
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where it answers.")] = LISTEN,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="TEXT", envvar="MARKETSIM_DEVNET_TOKEN", help="Asked of everybody; needed beyond this machine."),
    ] = None,
    pace: Annotated[
        str | None,
        typer.Option("--speed", metavar="N|max", help="Block time by wall time: 1, 60; 0: each message makes a block; max: with --limit."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=0, metavar="BLOCKS", help="With --speed max: then it rests.")] = None,
    accounts: Annotated[int | None, typer.Option("--accounts", metavar="N", help="Funded accounts of a new devnet; default: 10.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Of a new devnet, in place of the scenario's.")] = None,
    new: Annotated[str | None, typer.Option("--new", metavar="NAME", help="Start afresh under this name and keep the old log.")] = None,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Write a Prometheus' configuration to DIR/prometheus, and run one beside it if installed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start a devnet, or go on where its log ends; Ctrl-C or `devnet stop` ends it."""
    need_extra()
    from marketsim.cli.progress import tell_of_compiling
    from marketsim.devnet.folder import take_lock
    from marketsim.devnet.listening import listening

    going = _speed(pace, limit)
    folder.mkdir(parents=True, exist_ok=True)
    take_lock(folder).close()  # refuses while one runs there
    sock = listening(listen, token)
    if detach:
        sock.close()
        _detach(folder, token, as_json, prometheus)
        return
    tell_of_compiling(quiet=as_json)
    from marketsim.devnet.node import DevnetNode
    from marketsim.devnet.server import serve

    node = DevnetNode.open(folder, scenario, speed=going, accounts=accounts, new=new, seed=seed)

    beside: list[ScrapingPrometheus] = []

    def ready(url: str) -> None:
        said = {"url": url, "pid": _pid()} | node.status()
        if prometheus:
            beside.append(_prometheus_beside(folder, url, token))
            said["prometheus"] = beside[0].url
        sys.stdout.write(_json(said) if as_json else _started(folder, said))
        sys.stdout.flush()

    try:
        serve(node, sock, token=token, limit=limit, ready=ready)
    finally:
        for each in beside:
            each.stop()
    if not as_json:
        print(f"ended at block {node.height:,}; `marketsim devnet start --dir {folder}` goes on from there", file=sys.stderr)


def status(folder: Folder = DIR, as_json: AsJson = False) -> None:
    """Say where the devnet stands."""
    found = _client(folder).status()
    _tell(found, as_json, _status_lines)


def advance(
    blocks: Annotated[int | None, typer.Option("--blocks", min=0, metavar="N", help="Make so many blocks.")] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="HEIGHT|+N|KIND[:ID]", help="Up to a height, or to an event such as LeaseCreated."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=0, metavar="BLOCKS", help="At most so many; reached before: exit 1.")] = None,
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """Make blocks as fast as they go; exit code 1 when the limit comes before what was awaited."""
    if (blocks is None) == (until is None):
        raise InputError("give --blocks or --until, one of the two")
    client = _client(folder)
    found = _watched(client, lambda: client.advance(blocks, until=until, limit=limit), quiet=as_json)
    _tell(found, as_json, lambda said: [f"block {said['height']:,}" + ("" if said["met"] else ", the limit: it has not happened")])
    if not found["met"]:
        raise typer.Exit(1)


def pause(folder: Folder = DIR, as_json: AsJson = False) -> None:
    """Make no more blocks by the clock; messages wait for `advance` or `resume`."""
    _tell(_client(folder).set_clock(paused=True), as_json, _clock_lines)


def resume(folder: Folder = DIR, as_json: AsJson = False) -> None:
    """Go on at the devnet's speed."""
    _tell(_client(folder).set_clock(paused=False), as_json, _clock_lines)


def speed(
    pace: Annotated[str, typer.Argument(metavar="N|max", help="Block time by wall time; 0: a block a message; max: with --limit.")],
    limit: Annotated[int | None, typer.Option("--limit", min=0, metavar="BLOCKS", help="With max: then it rests.")] = None,
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """Set how fast blocks come."""
    going = _speed(pace, limit)
    client = _client(folder)
    found = client.set_clock(speed=going) if going is not None else client.race(limit or 0)
    _tell(found, as_json, _clock_lines)


def logs(
    unit: Annotated[str, typer.Option("--unit", "-u", metavar="NAME", help="Whose lines.")] = "provider-daemon",
    count: Annotated[int, typer.Option("-n", "--lines", min=0, max=20_000, metavar="N", help="The last so many.")] = 100,
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """Print what the provider daemon writes: each order, the filter that refused it or the price, and what became of the bid."""
    lines = _client(folder).journal(unit, count)
    sys.stdout.write(_json({"unit": unit, "lines": lines}) if as_json else "".join(f"{line}\n" for line in lines))


def snapshot(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")], folder: Folder = DIR, as_json: AsJson = False
) -> None:
    """Put the devnet as it is on a stack."""
    _tell(_client(folder).snapshot(name), as_json, lambda said: [f"{said['name']}: block {said['height']:,}"])


def revert(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A snapshot; default: the last one.")] = None,
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """Go back to a snapshot, the clock too; snapshots above it are gone."""
    _tell(_client(folder).revert(name), as_json, lambda said: [f"{said['name']}: block {said['height']:,} again"])


def faucet(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The name of a key, or an address.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Coins such as 5000000uve or 5VE.")],
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """Give coins to an account."""
    coins = _coins(amount)
    found = _client(folder).faucet(account, coins)
    _receipt(found, f"{account}, {coins:,} uve", as_json)


def usage(
    mode: Annotated[str, typer.Argument(metavar="auto|manual", help="How the provider's leases from here on report their use.")],
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """Let the provider daemon report use by itself, or leave it to `submit-usage`."""
    if mode not in ("auto", "manual"):
        raise InputError(f"usage: {mode!r} is no way to report use, write auto or manual")
    _tell(_client(folder).usage(mode), as_json, lambda said: [f"usage {mode}: {said['result'] or 'waits for the next block'}"])


def fault(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="outage, block, unblock, connectivity, workloads_fail, usage, ….")],
    provider: Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Whom it hits: a key, cohort/index.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Or this tenant.")] = None,
    cohort: Annotated[str | None, typer.Option("--cohort", metavar="NAME", help="Or everybody of a cohort.")] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="NAME", help="Or the providers of a region.")] = None,
    share: Annotated[float | None, typer.Option("--share", metavar="X", help="Of those, the share that is hit, 0 to 1.")] = None,
    lasts: Annotated[str | None, typer.Option("--lasts", metavar="SPAN", help="How long, such as 2h; else until `repair`.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What receipts and `repair` call it.")] = None,
    closes: Annotated[float | None, typer.Option("--closes", metavar="X", help="Of outage, workloads_fail: the leases closed.")] = None,
    factor: Annotated[float | None, typer.Option("--factor", metavar="X", help="Of usage: the share that is reported.")] = None,
    delay: Annotated[str | None, typer.Option("--delay", metavar="SPAN", help="Of usage: how late reports come.")] = None,
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """Let something go wrong from the next block on (docs/faults.md): `devnet fault outage --provider provider --lasts 1h`."""
    from marketsim.devnet.accounts import VALIDATOR
    from marketsim.simulation.market_messages import fault_message

    said = fault_message(
        kind, provider=provider, tenant=tenant, cohort=cohort, region=region, share=share, lasts=lasts, name=name, closes=closes,
        factor=factor, delay=delay,
    )  # fmt: skip
    _receipt(_client(folder).submit(said, VALIDATOR)[0], f"fault {kind}", as_json)


def repair(
    fault: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The fault's name.")] = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Or all that is wrong with a provider.")] = None,
    folder: Folder = DIR,
    as_json: AsJson = False,
) -> None:
    """End a fault, or all that is wrong with a provider."""
    from marketsim.devnet.accounts import VALIDATOR

    if (fault is None) == (provider is None):
        raise InputError("repair: takes the name of a fault, or --provider NAME")
    said = {"op": "repair"} | ({"fault": fault} if fault is not None else {"provider": provider})
    _receipt(_client(folder).submit(said, VALIDATOR)[0], f"repair {fault or provider}", as_json)


def _receipt(found: Mapping[str, Any], what: str, as_json: bool) -> None:
    """Tell what became of a message; exit code 1 where it was refused."""
    _tell(found, as_json, lambda said: [f"{what}: {said['result'] or 'waits for the next block'}"])
    if found["code"]:
        raise typer.Exit(1)


def shell(
    command: Annotated[str | None, typer.Option("-c", metavar="COMMAND", help="Run one command in place of a shell.")] = None,
    folder: Folder = DIR,
) -> None:
    """Open a shell whose `virtengine`, `journalctl` and `systemctl` are the devnet's, and whose `curl` finds its port."""
    need_extra()
    from marketsim.devnet.folder import read_address
    from marketsim.devnet.words.shell import open_shell

    _client(folder).status()
    found = read_address(folder) or {}
    raise typer.Exit(open_shell(folder, found["name"], found["url"].partition("://")[2], command, token=found.get("token")))


def stop(folder: Folder = DIR, as_json: AsJson = False) -> None:
    """End the devnet; `devnet start` goes on from there."""
    from marketsim.devnet.folder import is_locked

    found = _client(folder).stop()
    end = time.monotonic() + START_SECONDS
    while is_locked(folder):
        if time.monotonic() > end:
            raise InputError(f"{folder}: the devnet was told to end and has not within {START_SECONDS:g} s")
        time.sleep(0.05)
    _tell(found, as_json, lambda said: [f"ended at block {said['height']:,}"])


# --- how ---------------------------------------------------------------------------------------------------------------------------


def need_extra() -> None:
    """Say what to install where it is not there."""
    import importlib.util

    missing = [name for name in ("bech32", "fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"devnet: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed, `{INSTALL}` brings them")


def _client(folder: Path) -> Client:
    from marketsim.devnet.client import Client

    return Client.of(folder)


def _speed(text: str | None, limit: int | None) -> float | None:
    """The speed that was written; None for max, which needs a limit, and where nothing was."""
    if text == "max":
        if limit is None:
            raise InputError("--speed: max needs --limit, a number of blocks after which the devnet rests; or use `devnet advance`")
        return None
    if limit is not None:
        raise InputError("--limit: is for max only")
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1_000_000:
        raise InputError(f"--speed: {text!r} is no speed, write 0, 1, 60, another number up to 1,000,000, or max with --limit")
    return found


def _coins(text: str) -> int:
    from marketsim.money.text import AmountError, parse_amount
    from marketsim.money.units import ATTO

    try:
        found = parse_amount(text)
    except AmountError as error:
        raise InputError(f"AMOUNT: {error}") from None
    if found <= 0 or found % ATTO:
        raise InputError(f"AMOUNT: {text!r} is no amount for an account, write whole uve above 0, such as 5000000uve or 5VE")
    return found // ATTO


def _prometheus_beside(folder: Path, url: str, token: str | None) -> ScrapingPrometheus:
    """Start a Prometheus, or say on standard error why there is none; the devnet does not depend on it."""
    from marketsim.devnet.prometheus import ScrapingPrometheus

    found = ScrapingPrometheus(folder, url, token)
    trouble = found.start()
    if trouble is not None:
        print(f"--prometheus: {trouble}", file=sys.stderr)
    return found


def _detach(folder: Path, token: str | None, as_json: bool, prometheus: bool) -> None:
    """Start the same command in a process of its own and wait until it answers."""
    import os
    import subprocess

    from marketsim.devnet.client import Client
    from marketsim.devnet.folder import read_address

    words = [word for word in sys.argv[1:] if word != "--detach"]
    output = folder / "devnet.out"
    surroundings = dict(os.environ) | ({"MARKETSIM_DEVNET_TOKEN": token} if token else {})
    with output.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "marketsim", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=surroundings,
        )
    end = time.monotonic() + START_SECONDS
    while True:
        code = child.poll()
        if code is not None:
            sys.stderr.write(output.read_text(errors="replace"))
            raise typer.Exit(code or 1)
        found = read_address(folder)
        if found is not None and found["pid"] == child.pid and output.stat().st_size:
            break
        if time.monotonic() > end:
            raise InputError(f"{folder}: the devnet does not answer within {START_SECONDS:g} s, {output} has what it says")
        time.sleep(0.05)
    said = {"url": found["url"], "pid": found["pid"]} | Client.of(folder).status()
    if prometheus:
        from marketsim.devnet.prometheus import running_at

        trouble = output.read_text(errors="replace").partition("--prometheus: ")[2]
        said["prometheus"] = None if trouble else running_at(folder)
        if trouble:
            print("--prometheus: " + trouble.partition("\nAccounts")[0].partition("\n{")[0], file=sys.stderr)
    sys.stdout.write(_json(said) if as_json else _started(folder, said))


def _watched(client: Client, do: Callable[[], dict[str, Any]], *, quiet: bool) -> dict[str, Any]:
    """Do something that may take long, and show how far the devnet is meanwhile."""
    import threading

    from marketsim.cli.progress import progress_shown

    answers: list[dict[str, Any]] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(do())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(POLL_SECONDS)
    with progress_shown("advance", quiet=quiet) as show:
        first: int | None = None
        while thread.is_alive():
            if show is not None:
                clock = client.clock()
                first = clock["height"] if first is None else first
                if clock["advancing_to"] is not None:
                    show(clock["height"] - first, max(1, clock["advancing_to"] - first))
            thread.join(POLL_SECONDS)
    if errors:
        raise errors[0]
    return answers[0]


def _tell(found: Mapping[str, Any], as_json: bool, lines: Callable[[Any], list[str]]) -> None:
    sys.stdout.write(_json(found) if as_json else "".join(f"{line}\n" for line in lines(found)))


def _json(found: Mapping[str, Any]) -> str:
    return json.dumps(found, indent=1) + "\n"


def _pid() -> int:
    import os

    return os.getpid()


def _started(folder: Path, said: Mapping[str, Any]) -> str:
    lines = ["Accounts, 10,000 VE each at the start:"]
    width = max(map(len, said["accounts"]))
    lines += [f"  {name:{width}}  {address}" for name, address in said["accounts"].items()]
    lines += [f"Keys: {folder / 'keyring'}; the provider's file: {folder / 'provider-config.yaml'}", *_status_lines(said)]
    if said["note"]:
        lines.append(f"Note: {said['note']}")
    if said.get("prometheus"):
        lines.append(f"Prometheus: {said['prometheus']}; its folder: {folder / 'prometheus'}")
    return "".join(f"{line}\n" for line in [*lines, f"{said['url']}/api/v1/status answers; process {said['pid']}"])


def _status_lines(said: Mapping[str, Any]) -> list[str]:
    mine = said["provider"]
    return [
        f"Block {said['height']:,}, {said['time']}, {said['name']}: {said['scenario']}, seed {said['seed']}",
        *_clock_lines(said),
        f"Provider: {mine['active_leases']} of {mine['lease_capacity']} leases; bids {mine['bids_submitted']:,}, won {mine['bids_won']:,}, "
        f"lost {mine['bids_lost']:,}",
    ]


def _clock_lines(said: Mapping[str, Any]) -> list[str]:
    going = "each message makes a block" if said["speed"] == 0 else f"a block every {said['block_seconds'] / said['speed']:g} s"
    if said["paused"]:
        going = "rests"
    if (to := said.get("advancing_to")) is not None:
        going = f"makes blocks up to {to:,} as fast as they go"
    behind = f", {said['lag_blocks']:,} blocks behind" if said["lag_blocks"] else ""
    return [f"Speed {said['speed']:g}: {going}{behind}"]
