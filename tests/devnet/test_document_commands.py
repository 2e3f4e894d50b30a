"""The training document's twelve commands, as they are printed, in the shell of a devnet that runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from devnets import served
from ruamel.yaml import YAML

from marketsim.cli import main
from marketsim.devnet.client import Client
from marketsim.devnet.words.execute import execute
from marketsim.devnet.words.shell import open_shell

FENCES = YAML(typ="safe").load((Path(__file__).parents[1] / "data/training_document/commands.yaml").read_text())
COMMANDS = [command for fence in FENCES for command in fence["commands"]]
# an order that the document's provider bids on: it pays more than 0.001 uve a block, and names no region
MANIFEST = """\
version: "2.0"
services:
  web:
    image: nginx
    expose: [{port: 80, as: 80, to: [{global: true}]}]
profiles:
  compute: {web: {resources: {cpu: {units: 1}, memory: {size: 2Gi}, storage: {size: 10Gi}}}}
  placement: {anywhere: {pricing: {web: {denom: uve, amount: 0.01}}}}
deployment: {web: {anywhere: {profile: web, count: 1}}}
"""


class Told(NamedTuple):
    """What a shell printed."""

    out: str
    err: str
    code: int


class Session:
    """The shell of a devnet with a lease of the tenant's at the own provider that is more than an hour old."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.address = client.url.partition("://")[2]
        (folder / "deployment.yaml").write_text(MANIFEST)
        client.advance(400)
        self.blank: dict[str, str] = {}

    def lease(self) -> None:
        """Accept the own provider's bid on the order that the document's first command has made, and fill in what it leaves blank."""
        tenant, provider = (self.client.keys[name]["address"] for name in ("tenant", "provider"))
        self.client.advance(until="BidCreated", limit=50)
        self.client.advance(5)
        [order] = self.client.orders({"owner": "tenant", "state": "open"})["orders"]
        [receipt] = self.client.submit({"op": "create_lease", "id": f"{order['id']}/{provider}"}, "tenant")
        assert receipt["result"] == "ok"
        self.client.advance(700)
        dseq = order["id"].split("/")[1]
        self.blank = {
            "<tenant-address>": tenant,
            "<deployment-seq>": dseq,
            "<group-seq>": "1",
            "<order-seq>": "1",
            "<provider-address>": provider,
            "<lease-id>": f"{order['id']}/{provider}",
            "<escrow-id>": f"{tenant}/{dseq}",
        }

    def __call__(self, command: str, capfd: pytest.CaptureFixture[str], **variables: str) -> Told:
        for blank, value in self.blank.items():
            command = command.replace(blank, value)
        capfd.readouterr()
        environment = dict(os.environ) | {"SHELL": shutil.which("bash") or "/bin/sh"} | variables
        code = open_shell(self.folder, "words", self.address, f"cd {self.folder} && {command}", environment)
        out, err = capfd.readouterr()
        return Told(out, err, code)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("document")
    with served(folder, "training", speed=0) as client:
        yield Session(client, folder)


def is_sensible(command: str, told: Told, session: Session) -> bool:
    """Whether an answer is what somebody who reads the document expects of the command."""
    if told.code != 0 or not told.out:
        return False
    if command.startswith("journalctl"):
        return all("bid" in line.lower() and "provider-daemon" in line for line in told.out.splitlines())
    if command.startswith("curl"):
        return json.loads(told.out)["height"] == session.client.status()["height"]
    if " tx " in command:
        return json.loads(told.out)["code"] == 0
    answer: Any = YAML(typ="safe").load(told.out)
    provider, dseq = session.client.keys["provider"]["address"], session.blank.get("<deployment-seq>", "")
    if " orders " in command:
        return [order["state"] for order in answer["orders"]] == ["open"]
    if " leases " in command:
        return dseq in {each["lease"]["id"]["dseq"] for each in answer["leases"]}
    if " lease " in command:
        return bool(answer["lease"]["state"] == "active")
    if " bids " in command:
        return all(each["bid"]["id"]["provider"] == provider and each["bid"]["state"] == "open" for each in answer["bids"])
    if " accounts " in command:
        return session.blank["<escrow-id>"] in {each["id"]["xid"] for each in answer["accounts"]}
    return bool(answer["id"]["xid"] == session.blank["<escrow-id>"])


@pytest.mark.skipif(any(shutil.which(tool) is None for tool in ("bash", "curl", "jq")), reason="the document's commands need curl and jq")
def test_the_documents_twelve_commands_answer(session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    assert (len(FENCES), len(COMMANDS)) == (5, 12)
    # in the document's order, but that a lease is closed when nothing is asked of it any more
    last = next(command for command in COMMANDS if "lease-close" in command)
    sensible = []
    for command in [*(each for each in COMMANDS if each != last), last]:
        if command == COMMANDS[2]:
            session.lease()
        told = session(command, capfd, VIRTENGINE_STRICT="0")
        if command == last and "add --owner" in told.err:  # background tenants have leases of this number too: they are named
            assert told.code == 1 and session.blank["<lease-id>"] in told.err
            told = session(f"{command.rstrip()} --owner <tenant-address>", capfd)
        assert is_sensible(command, told, session), (command, told)
        sensible.append(command)
    assert f"{len(sensible)}/12" == "12/12"


def test_one_command_in_the_shell_and_its_exit_code(session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    assert session("exit 7", capfd).code == 7
    assert session("virtengine query market orders --owner tenant", capfd, VIRTENGINE_STRICT="1") == Told(
        "", "Error: unknown flag: --owner\n", 1
    )
    told = session("virtengine query nothing", capfd)
    assert told.code == 0 and "Available Commands" in told.out
    (session.folder / "json.py").write_text("raise SystemExit(9)")  # what lies about in somebody's folder is none of its business
    assert session("virtengine keys show tenant -a", capfd).code == 0
    assert session("command -v virtengine", capfd).out.endswith("/bin/virtengine\n")


def test_curl_asks_the_devnet_where_the_document_says(session: Session, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    curl.chmod(0o755)
    command = "curl -s 'http://127.0.0.1:8443/a b?c=d&e' localhost:9000/x localhost:8443"
    environment = dict(os.environ) | {"SHELL": "/bin/sh", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", environment["PATH"])
        assert open_shell(session.folder, "words", "127.0.0.1:18443", command, environment) == 0
        assert capfd.readouterr().out.splitlines() == ["-s", "127.0.0.1:18443/a b?c=d&e", "localhost:9000/x", "127.0.0.1:18443"]
        assert open_shell(session.folder, "words", "127.0.0.1:8443", "curl localhost:8443", environment, "it's $ecret") == 0
        assert capfd.readouterr().out.splitlines() == ["-H", "Authorization: Bearer it's $ecret", "127.0.0.1:8443"]


def test_the_same_without_a_shell(session: Session, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["virtengine", "--dir", str(session.folder), "keys", "show", "tenant", "-a"]) == 0
    assert capfd.readouterr().out == f"{session.client.keys['tenant']['address']}\n"
    assert main(["virtengine", "--dir", str(session.folder), "query", "market", "order", "get"]) == 1
    assert capfd.readouterr().err == 'Error: required flag(s) "dseq", "owner" not set\n'
    assert main(["virtengine", f"--dir={session.folder}/nowhere", "status"]) == 1
    assert "no devnet runs on this folder" in capfd.readouterr().err


def test_over_http_as_in_process(session: Session) -> None:
    words = ["query", "market", "lease", "list", "--provider", "provider", "--limit", "3", "-o", "json"]
    said = execute(words, lambda: session.client)
    assert said.code == 0 and len(json.loads(said.out)["leases"]) == 3
    refused = execute(["query", "market", "order", "get", "--owner", "tenant", "--dseq", "1"], lambda: session.client)
    assert refused.err == "Error: rpc error: code = NotFound desc = invalid order: order not found: key not found\n"


def test_a_prompt_says_which_devnet(session: Session, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shell = tmp_path / "bash"
    shell.write_text('#!/bin/sh\ncat "$2"\necho "$MARKETSIM_DEVNET"\n')
    shell.chmod(0o755)
    capfd.readouterr()
    assert open_shell(session.folder, "words", session.address, environment=dict(os.environ) | {"SHELL": str(shell)}) == 0
    out = capfd.readouterr().out
    assert f"PS1='(devnet words {session.address}) " in out and out.endswith(f"{session.folder}\n")
