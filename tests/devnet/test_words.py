"""The command line of a devnet beyond what was recorded: refusals, pages, keys, dry runs, transactions by hash, the document's forms."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from marketsim.chain.status import Status
from marketsim.devnet.node import DevnetNode
from marketsim.devnet.words.command_line import RefusedError, check_required, read
from marketsim.devnet.words.commands import REAL
from marketsim.devnet.words.execute import CommandOutput, execute
from marketsim.devnet.words.refusals import RECORDED, TEXTS
from marketsim.devnet.words.units import journalctl, systemctl

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
Run = Callable[..., CommandOutput]


class Desk:
    """A devnet with two leases of the tenant's at the own provider, and somebody who runs commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = DevnetNode.open(folder, "training", speed=0)
        (folder / "web.yaml").write_text(MANIFEST)
        self.node.advance(400)
        self.first = self.leased("friend")
        self.second = self.leased("tenant")
        self.node.advance(700)

    def __call__(self, command: str, strict: bool = False, tells_hash: bool = False) -> CommandOutput:
        return execute(shlex.split(command), lambda: self.node, strict=strict, tells_hash=tells_hash)

    def answer(self, command: str, **how: Any) -> Any:
        said = self(command, **how)
        assert said.code == 0, (command, said.err)
        return json.loads(said.out)

    def leased(self, owner: str) -> dict[str, Any]:
        """The id of a new lease of an owner's at the own provider, number 7777 of each owner."""
        self(f"tx deployment create {self.folder}/web.yaml --from {owner} --deposit 500uve --dseq 7777")
        self.node.advance(5)
        said = self(f"tx market lease create --dseq 7777 --provider provider --from {owner}")
        assert said.code == 0, said.err
        found: dict[str, Any] = self.answer(f"query market lease list --owner {owner} -o json")["leases"][0]["lease"]["id"]
        return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("words"))
    yield made
    made.node.close()


@pytest.mark.parametrize(
    ("command", "text"),
    [
        # cobra and pflag: github spf13/cobra command.go, args.go; spf13/pflag flag.go
        ("foo", 'unknown command "foo" for "virtengine"'),
        ("quer", 'unknown command "quer" for "virtengine"\n\nDid you mean this?\n\tquery\n'),
        ("query market orders", 'unknown command "orders" for "market"\n\nDid you mean this?\n\torder\n'),
        ("query market order list --dseq x", 'invalid argument "x" for "--dseq" flag: strconv.ParseUint: parsing "x": invalid syntax'),
        (
            "query market order list --gseq 4294967296",
            'invalid argument "4294967296" for "--gseq" flag: strconv.ParseUint: parsing "4294967296": value out of range',
        ),
        ("query market order list --owner", "flag needs an argument: --owner"),
        ("query market order list -o", "flag needs an argument: 'o' in -o"),
        ("query market order list -z", "unknown shorthand flag: 'z' in -z"),
        ("query market order get", 'required flag(s) "dseq", "owner" not set'),
        ("query market order get here", "accepts 0 arg(s), received 1"),
        ("query escrow accounts open deployment more", "accepts between 0 and 2 arg(s), received 3"),
        ("keys show", "requires at least 1 arg(s), only received 0"),
        ("tx market lease close --from tenant", 'required flag(s) "dseq", "provider" not set'),
        ("tx gov foo --bar", 'unknown command "foo" for "gov"'),
    ],
)
def test_wrong_words_are_refused_as_cobra_refuses_them(command: str, text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check_required(read(REAL, shlex.split(command)))
    assert str(refused.value) == text


def test_options_may_stand_anywhere_and_be_joined() -> None:
    words = read(REAL, ["query", "-ojson", "market", "order", "list", "--limit=3", "--count-total", "--reverse=false"])
    assert words.path == ("virtengine", "query", "market", "order", "list")
    assert (words.flags["output"], words.flags["limit"], words.flags["count-total"], words.flags["reverse"]) == ("json", 3, True, False)


def test_options_are_taken_from_variables_where_they_are_not_given(desk: Desk) -> None:
    variables = {"VIRTENGINE_OUTPUT": "json", "VIRTENGINE_OWNER": "tenant", "VIRTENGINE_DSEQ": "7777", "VIRTENGINE_LIMIT": "many"}
    said = execute(["query", "deployment", "get"], lambda: desk.node, environment=variables)
    assert json.loads(said.out)["deployment"]["id"]["dseq"] == "7777"
    assert execute(["query", "deployment", "get", "--dseq", "1"], lambda: desk.node, environment=variables).code == 1
    refused = execute(["query", "market", "order", "list"], lambda: desk.node, environment=variables)
    assert refused.err == 'Error: invalid argument "many" for "--limit" flag: strconv.ParseUint: parsing "many": invalid syntax\n'


def test_every_refusal_of_the_chain_has_a_text() -> None:
    assert set(TEXTS) == set(Status) - {Status.Ok}
    assert {status for status, text in TEXTS.items() if text.origin == RECORDED} == {
        Status.BidOverOrder,
        Status.LeaseNotActive,
        Status.DeploymentClosed,
    }


def test_pages_go_on_where_they_ended(desk: Desk) -> None:
    whole = desk.answer("query market order list --gseq 0 --oseq 0 --limit 1000 -o json")["orders"]
    states = [order["state"] for order in whole]
    assert states == sorted(states, key=["open", "active", "closed"].index) and len(whole) > 60
    closed = [order["id"] for order in whole if order["state"] == "closed"]
    paged, key = [], ""
    while True:
        page = desk.answer(f"query market order list --state closed --gseq 0 --oseq 0 --limit 2 --page-key '{key}' -o json")
        paged += [order["id"] for order in page["orders"]]
        assert page["pagination"]["total"] == str(len(page["orders"]))
        key = page["pagination"]["next_key"]
        if key is None:
            break
    assert paged == closed
    second = desk.answer("query market order list --state closed --gseq 0 --oseq 0 --limit 2 --page 2 -o json")["orders"]
    offset = desk.answer("query market order list --state closed --gseq 0 --oseq 0 --limit 2 --offset 2 -o json")["orders"]
    assert [each["id"] for each in second] == [each["id"] for each in offset] == closed[2:4]
    assert desk("query market order list --page 2").err == (
        "Error: rpc error: code = InvalidArgument desc = rpc error: code = InvalidArgument desc = invalid request parameters. "
        "if offset is set, filter.state must be provided: invalid request\n"
    )
    assert desk("query market order list --page-key !").err == "Error: invalid pagination key: invalid request\n"


def test_lists_without_numbers_are_of_the_first_group_and_order_as_on_the_chain(desk: Desk) -> None:
    # sdk/go/cli/flags/market.go: --gseq and --oseq of lists default to 1
    real = desk.answer("query market order list --limit 1000 -o json")["orders"]
    assert {(order["id"]["gseq"], order["id"]["oseq"]) for order in real} == {(1, 1)}
    documents = desk.answer("query market orders --limit 1000 -o json")["orders"]
    assert len(documents) > len(real)
    assert "--gseq 0 --oseq 0 lists all" in desk("query market order list --limit 1000", tells_hash=True).err


def test_names_are_taken_for_addresses_but_not_strictly(desk: Desk) -> None:
    address = desk.node.keys["tenant"].address
    by_name, by_address = desk("query market order list --owner tenant"), desk(f"query market order list --owner {address}", strict=True)
    assert by_name.out == by_address.out != ""
    assert (
        desk("query market order list --owner tenant", strict=True).err == "Error: decoding bech32 failed: invalid bech32 string length 6\n"
    )
    assert desk("query market order list --owner nobody-here").err == "Error: decoding bech32 failed: invalid separator index -1\n"
    wrong = address[:-1] + ("q" if address[-1] != "q" else "p")
    assert f"invalid checksum (expected {address[-6:]} got {wrong[-6:]})" in desk(f"query bank balances {wrong}").err
    stranger = "cosmos1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnrk363e"
    assert desk(f"query bank balances {stranger}").err == "Error: invalid Bech32 prefix; expected ve, got cosmos\n"


def test_a_dry_run_changes_nothing_and_a_gas_limit_sends_at_once(desk: Desk) -> None:
    height = desk.node.height
    said = desk("tx deployment close --dseq 7777 --from tenant --dry-run")
    assert (said.out, said.err, said.code) == ("", "gas estimate: 372000\n", 0)
    assert desk("tx deployment close --dseq 99 --from tenant --dry-run").code == 1
    assert desk.node.height == height
    refused = desk.answer("tx deployment close --dseq 99 --from tenant --gas 200000")  # the chain takes it and refuses it
    assert (refused["code"], refused["codespace"], refused["events"]) == (4, "deployment", [])
    assert refused["raw_log"] == "failed to execute message; message index: 0: Deployment not found"
    assert desk.node.height == height + 1
    assert desk("tx deployment close --dseq 7777 --from tenant --gas much").err == 'Error: either integer or "auto" must be provided\n'


def test_a_transaction_is_found_by_its_hash(desk: Desk) -> None:
    said = desk("tx escrow deposit deployment 5uve --dseq 7777 --from tenant", tells_hash=True)
    hash = said.err.removeprefix("txhash: ").strip()
    whole = desk.answer(f"query tx {hash.lower()} -o json")
    assert whole["txhash"] == hash and whole["height"] == json.loads(said.out)["height"] and whole["code"] == 0
    [message] = whole["tx"]["body"]["messages"]
    assert message["@type"] == "/virtengine.escrow.v1.MsgAccountDeposit" and message["deposit"] == "5"
    assert desk("query tx 00ff").err == "Error: RPC error -32603 - Internal error: tx (00FF) not found\n"
    assert desk("query tx 0").err == "Error: encoding/hex: odd length hex string\n"
    assert desk("query tx zz").err == "Error: encoding/hex: invalid byte: U+007A 'z'\n"


def test_keys_are_made_listed_and_shown(desk: Desk) -> None:
    assert desk("keys show tenant -a").out == f"{desk.node.keys['tenant'].address}\n"
    made = desk.answer("keys add zoe --output json")
    assert list(made) == ["name", "type", "address", "pubkey"] and made["address"] == desk.node.keys["zoe"].address
    assert desk("keys list -n").out.split() == sorted(desk.node.keys)
    assert YAML(typ="safe").load(desk("keys show zoe").out) == [made]
    assert desk("keys show nobody").err.startswith("Error: nobody is not a valid name or address: decoding bech32 failed")
    assert desk("tx deployment close --dseq 7777 --from nobody").err == (
        "Error: failed to convert address field to address: nobody.info: key not found\n"
    )


def test_lease_close_names_the_leases_where_there_are_several(desk: Desk) -> None:
    said = desk("tx market lease-close --dseq 7777 --gseq 1 --oseq 1 --from provider")
    assert said.code == 1 and "provider has 2 active leases with --dseq 7777 --gseq 1 --oseq 1, add --owner:" in said.err
    for lease in (desk.first, desk.second):
        assert f"  {lease['owner']}/7777/1/1/{lease['provider']}\n" in said.err
    assert desk("tx market lease-close --dseq 8 --from provider").err.endswith("Error: provider has no active lease with --dseq 8\n")
    [closed] = [
        event["attributes"]["reason"]
        for event in desk.answer("tx market lease-close --dseq 7777 --owner friend --from provider")["events"]
        if event["type"].endswith("LeaseClosed")
    ]
    assert closed == '"lease_closed_reason_unspecified"'


def test_usage_is_submitted_by_hand_where_the_provider_does_so(desk: Desk) -> None:
    sample = "--cpu-milliseconds 3600000 --memory-byte-seconds 8589934592000 --storage-byte-seconds 107374182400000 --gpu-seconds 0"
    lease = "/".join(str(desk.second[key]) for key in ("owner", "dseq", "gseq", "oseq", "provider"))
    assert desk.answer(f"tx escrow submit-usage --lease-id {lease} {sample} --from provider")["code"] == 0
    again = desk(f"tx escrow submit-usage --lease-id {lease} {sample} --from provider")
    assert again.code == 1 and "usage record invalid" in again.err and "since the last one" in again.err
    other = desk.answer("query market lease list --state active --limit 1000 -o json")["leases"]
    metered = next(each["lease"]["id"] for each in other if each["lease"]["id"]["provider"] != desk.second["provider"])
    name = "/".join(str(metered[key]) for key in ("owner", "dseq", "gseq", "oseq", "provider"))
    assert "meters itself" in desk(f"tx escrow submit-usage --lease-id {name} {sample} --from provider").err
    assert "lease not found" in desk(f"tx escrow submit-usage --lease-id 1/2/3 {sample} --from provider").err


def test_governance_settles_and_others_do_not(desk: Desk) -> None:
    account = f"{desk.second['owner']}/7777"
    assert desk.answer(f"tx gov submit-proposal escrow-settlement --escrow-id {account} --from validator")["code"] == 0
    assert "unauthorized" in desk(f"tx gov submit-proposal escrow-settlement --escrow-id {account} --from friend").err
    shown = YAML(typ="safe").load(desk(f"query escrow account --account-id deployment/{account}").out)
    assert shown["id"] == {"scope": "deployment", "xid": account} and shown["state"]["state"] == "open"


def test_the_documents_escrow_accounts_are_those_that_pay_a_provider(desk: Desk) -> None:
    mine = desk.answer("query escrow accounts --provider provider -o json")["accounts"]
    assert f"{desk.second['owner']}/7777" in [each["id"]["xid"] for each in mine]
    assert all(each["state"]["state"] == "open" for each in mine)
    assert len(mine) < len(desk.answer("query escrow accounts -o json")["accounts"])


def test_a_manifest_that_is_wrong_is_located(desk: Desk) -> None:
    path = desk.folder / "wrong.yaml"
    path.write_text(MANIFEST.replace("size: 2Gi", "size: 2Quatsch"))
    said = desk(f"tx deployment create {path} --from tenant")
    assert said.code == 1 and said.err.startswith(f"Error: {path}:7:")
    assert desk("tx deployment create nothing.yaml --from tenant").err == "Error: open nothing.yaml: no such file or directory\n"


def test_what_is_not_simulated_says_so(desk: Desk) -> None:
    for command in ("query staking validators", "tx cert publish", "tx gov submit-proposal x.json --from tenant"):
        said = desk(command)
        assert said.code == 1 and "is not simulated" in said.err


def test_the_journal_and_the_daemon_answer(desk: Desk) -> None:
    said = journalctl(["-u", "provider-daemon", "-n", "100"], lambda: desk.node)
    assert isinstance(said, CommandOutput) and "bid submitted" in said.out and len(said.out.splitlines()) <= 100
    newest = journalctl(["-rn1", "--output=cat", "--unit=provider-daemon.service"], lambda: desk.node)
    assert isinstance(newest, CommandOutput) and newest.out.startswith("height=")
    assert journalctl(["-u", "sshd"], lambda: desk.node) == CommandOutput(
        "-- No entries --\n", "note: this devnet has one unit, provider-daemon\n"
    )
    assert systemctl(["is-active", "provider-daemon"], lambda: desk.node).out == "active\n"
    config = desk.folder / "provider-config.yaml"
    text = config.read_text()
    config.write_text(text.replace("min_profit_margin: 10", "min_profit_margin: 30"))
    assert systemctl(["restart", "provider-daemon"], lambda: desk.node) == CommandOutput()
    config.write_text(text.replace("min_profit_margin: 10", "min_profit_margin: much"))
    refused = systemctl(["restart", "provider-daemon"], lambda: desk.node)
    assert refused.code == 1 and f"{config}:7:" in refused.err
    assert systemctl(["restart", "nginx"], lambda: desk.node).err.startswith("systemctl: Unit nginx.service not found")


def test_the_page_has_every_text_and_says_which_were_never_recorded() -> None:
    page = (Path(__file__).parents[2] / "docs/virtengine-commands.md").read_text()
    for status, text in TEXTS.items():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{status.name}` |")]
        assert row.startswith(f"| `{status.name}` | {text.text} | {text.module} {text.code} | ")
        assert ("never recorded" in row) == (text.origin != RECORDED)


def test_coins_are_sent_and_deposits_granted(desk: Desk) -> None:
    held = int(desk.answer("query bank balances erin --denom uve -o json")["amount"])
    assert desk.answer("tx bank send erin 25uve --from carol")["events"] == []
    assert desk.answer(f"tx bank send {desk.node.keys['carol'].address} erin 5uve")["code"] == 0
    assert desk.answer("query bank balances erin -o json")["balances"] == [{"denom": "uve", "amount": str(held + 30)}]
    too_much = desk(f"tx bank send dave {10**15}uve --from erin").err
    assert f"index: 0: spendable balance {held + 30}uve is smaller than {10**15}uve: insufficient funds with gas used" in too_much
    assert desk("tx bank send dave 0uve --from erin").err == "Error: invalid coins\n"
    assert desk.answer("tx authz grant dave deposit --scope deployment --spend-limit 40uve --from erin")["code"] == 0
    assert desk.answer("tx escrow deposit deployment 30uve --owner tenant --dseq 7777 --from dave")["code"] == 0
    deposits = desk.answer("query deployment get --owner tenant --dseq 7777 -o json")["escrow_account"]["state"]["deposits"]
    assert (deposits[-1]["owner"], deposits[-1]["source"]) == (desk.node.keys["erin"].address, "grant")
    assert desk("tx authz grant dave deposit --scope market --from erin").err == 'Error: invalid scope "market"\n'


@pytest.mark.parametrize(
    ("command", "text"),
    [
        # sdk/go/node/market/v1beta5/msgs.go, x/market/handler/server.go, x/escrow/keeper/keeper.go
        ("tx market bid create --owner tenant --dseq 7777 --price 1uve --from tenant", "BidID: self-bid: conflict"),
        ("tx market bid create --owner tenant --dseq 7777 --price 0uve --from friend", "invalid bid: zero price"),
        ("tx market bid create --owner tenant --dseq 7777 --price one --from friend", "invalid decimal coin expression: one"),
        (
            "tx market bid create --dseq 7777 --price 1uve --from friend",
            "OrderID: Invalid GroupID: GroupID: Invalid DeploymentID: DeploymentID: Invalid Owner Address: invalid address",
        ),
        ("tx deployment close --from tenant", "DeploymentID: Invalid Deployment Sequence: invalid sequence"),
        (
            "tx market bid close --owner tenant --dseq 7777 --reason 5 --from provider",
            "invalid --reason value. expected range 10000..19999",
        ),
        ("tx escrow deposit lease 5uve --dseq 7777 --from tenant", "invalid account scope. allowed values deployment"),
        ("tx escrow deposit deployment 5uve --dseq 7777 --deposit-sources wallet --from tenant", 'invalid deposit-source "wallet"'),
        ("query escrow accounts ready", "invalid account state. allowed values - open|closed|overdrawn"),
        ("query escrow accounts open lease", "invalid xid scope prefix. allowed values - deployment|bid"),
    ],
)
def test_what_never_reaches_the_chain_is_refused_as_there(desk: Desk, command: str, text: str) -> None:
    assert desk(command) == CommandOutput("", f"Error: {text}\n", 1)


def test_a_deposit_that_is_too_small_or_too_large_says_which(desk: Desk) -> None:
    bid = "tx market bid create --owner tenant --dseq 7777 --price 0.001uve --from provider --deposit"
    assert "index: 0: deposit invalid: mininum:1uve received:{0uve [grant balance]} with gas used" in desk(f"{bid} 0uve").err
    create = f"tx deployment create {desk.folder}/web.yaml --from friend --deposit"
    assert "index: 0: Deposit invalid: Deposit too low - 3 < 20 with gas used" in desk(f"{create} 3uve").err
    assert "index: 0: deposit invalid: insufficient balance with gas used" in desk(f"{create} {10**15}uve").err
