"""A devnet in process: accounts, messages and receipts, its own provider, there and back, and the same again from its log."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketsim.devnet.accounts import ACCOUNTS
from marketsim.devnet.addresses import address_of, is_address
from marketsim.devnet.folder import is_locked, secret_of, take_lock
from marketsim.devnet.node import DevnetNode
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.write_ahead import line_hash
from marketsim.errors import InputError

GROUP = {"name": "web", "resources": [{"price": "1", "count": 1, "cpu": 1000, "memory": 2**30, "storage": 2**30, "gpu": 0}]}


def order(owner: str = "tenant", **more: Any) -> dict[str, Any]:
    return {"op": "create_deployment", "id": owner, "deposit": "500", "sources": ["balance"], "groups": [GROUP]} | more


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevnetNode, dict[str, Any]]]:
    """A devnet with a lease of the tenant's at the own provider, whose use was reported after more than an hour."""
    node = DevnetNode.open(tmp_path_factory.mktemp("devnet"), "tiny", speed=0)
    said: dict[str, Any] = {}
    node.advance(400)
    [said["deployment"]] = node.submit(order(), "tenant")
    node.advance(5)
    said["bids"] = node.bids({"order": f"{said['deployment']['id']}/1/1"})["bids"]
    lease = next(bid["id"] for bid in said["bids"] if bid["provider"] == node.keys["provider"].address)
    [said["lease"]] = node.submit({"op": "create_lease", "id": lease}, "tenant")
    node.advance(700)
    metrics = {"cpu": 3_600_000, "memory": 2**30 * 3600, "storage": 2**30 * 3600, "gpu": 0}
    [said["usage"]] = node.submit({"op": "submit_usage", "id": lease, "metrics": metrics}, "provider")
    [said["stranger"]] = node.submit({"op": "close_lease", "id": lease}, "friend")
    yield node, said
    node.close()


def test_ten_funded_accounts_have_fixed_addresses_and_secret_keys(told: tuple[DevnetNode, dict[str, Any]]) -> None:
    node, _ = told
    assert tuple(node.keys) == ACCOUNTS
    assert node.keys["tenant"].address == "ve1regvw3m25mvswx9g4apvjujkdl3aut24kq4868"
    for key in node.keys.values():
        assert is_address(key.address)
        secret = secret_of(node.folder, node.name, key.name)
        assert secret and key.fits(secret) and not key.fits(secret[:-1] + "x")
        assert secret not in (node.folder / "logs" / "devnet.jsonl").read_text()
    assert node.wallets({"id": "frank"})["wallets"][0]["balance"] == 10_000 * 10**6


def test_an_order_is_bid_on_leased_and_its_use_reported(told: tuple[DevnetNode, dict[str, Any]]) -> None:
    node, said = told
    tenant, provider = node.keys["tenant"].address, node.keys["provider"].address
    assert said["deployment"]["id"] == f"{tenant}/400" and said["deployment"]["height"] == 401
    assert [event["event"] for event in said["deployment"]["events"]][-1] == "OrderCreated"
    assert said["lease"]["result"] == "ok" and said["lease"]["id"] == f"{tenant}/400/1/1/{provider}"
    assert said["usage"]["result"] == "ok", said["usage"]
    assert node.leases({"id": said["lease"]["id"]})["leases"][0]["state"] == "active"
    assert node.tx(said["usage"]["hash"]) == said["usage"] and node.tx("00") is None


def test_a_key_acts_for_its_own_account_only(told: tuple[DevnetNode, dict[str, Any]]) -> None:
    node, said = told
    assert said["stranger"]["result"] == "Unauthorized" and said["stranger"]["codespace"] == "marketsim"
    with pytest.raises(NodeError, match="no key of this devnet"):
        node.submit(order(), "nobody")
    with pytest.raises(NodeError, match="signs for ve1"):
        node.submit(order(signer="alice"), "bob")
    [own] = node.submit({"op": "set_params", "params": {"take_percent": 3}}, "tenant", dry_run=True)
    [governed] = node.submit({"op": "set_params", "params": {"take_percent": 3}}, "validator", dry_run=True)
    assert (own["result"], governed["result"]) == ("Unauthorized", "ok")


def test_what_is_no_message_takes_none_of_them(told: tuple[DevnetNode, dict[str, Any]]) -> None:
    node, _ = told
    before = (node.height, node.fingerprint(), (node.folder / "logs" / "devnet.jsonl").read_bytes())
    for wrong in ([order(), {"op": "create_lease"}], [{"op": "no such"}], ["text"], [], [order(deposit="x")], [order(groups=3)]):
        with pytest.raises(InputError):
            node.submit(wrong, "tenant")  # type: ignore[arg-type]
    [tried] = node.submit(order(), "tenant", dry_run=True)
    assert tried["result"] == "ok"
    assert (node.height, node.fingerprint(), (node.folder / "logs" / "devnet.jsonl").read_bytes()) == before


def test_the_journal_says_filter_price_and_outcome(told: tuple[DevnetNode, dict[str, Any]]) -> None:
    node, said = told
    mine = [line for line in node.journal(n=10_000) if f"order={said['deployment']['id']}/1/1" in line]
    bid = next(bid for bid in said["bids"] if bid["provider"] == node.keys["provider"].address)
    assert f"price={bid['price']}uve/block" in mine[0] and "accepted" in mine[0]
    assert "bid won" in mine[1]
    with pytest.raises(InputError, match="provider-daemon"):
        node.journal("sshd")


def test_pages_follow_each_other_and_filters_are_checked(told: tuple[DevnetNode, dict[str, Any]]) -> None:
    node, _ = told
    every = node.orders()["orders"]
    first = node.orders(limit=2)
    assert first["orders"] + node.orders(after=first["next"])["orders"] == every and len(every) >= 5
    assert node.orders({"owner": "tenant"})["orders"] == [each for each in every if each["owner"] == address_of("tenant")]
    for wrong in ({"colour": "red"}, {"state": "asleep"}):
        with pytest.raises(NodeError):
            node.orders(wrong)


def test_the_own_file_is_read_again_and_a_bad_one_is_refused_with_its_line(tmp_path: Path) -> None:
    node = DevnetNode.open(tmp_path, "tiny", speed=0)
    path = tmp_path / "provider-config.yaml"
    document = path.read_text()
    path.write_text(document.replace("max_cpu: 64000", "max_cpu: many"))
    with pytest.raises(InputError, match=r"provider-config.yaml:\d+:\d+: filters.max_cpu"):
        node.reload_provider_config()
    lines = [line for line in document.splitlines() if "allowed_regions" not in line and line.strip() not in ("- us-east-1", "- eu-west-1")]
    path.write_text("\n".join(lines).replace("max_cpu: 64000", "max_cpu: 500"))
    assert node.reload_provider_config()["result"] == "ok"
    [receipt] = node.submit(order(), "tenant")
    node.advance(5)
    said = "\n".join(node.journal())
    assert f"no bid order={receipt['id']}/1/1 filter=insufficient_resources" in said and "began anew" in said
    node.close()


def test_a_devnet_goes_back_and_is_the_same_again_from_its_log(tmp_path: Path) -> None:
    node = DevnetNode.open(tmp_path, "tiny", speed=0)
    node.advance(50)
    node.submit([order(), order()], "alice")
    node.snapshot("a")
    was = node.fingerprint()
    node.advance(30)
    node.snapshot("b")
    node.faucet("bob", 7)
    assert node.revert()["stack"] == ["a", "b"] and node.height == 81
    assert node.revert("a") == {"name": "a", "height": 51, "stack": ["a"]}
    assert node.fingerprint() == was and node.wallets({"id": "bob"})["wallets"][0]["balance"] == 10**10
    node.add_key("zoe")
    node.submit(order(), "carol")
    node.usage("auto")
    node.enqueue(node.prepare(order(), "dave"), "dave", advance=False)
    node.sync()

    def everything(of: DevnetNode) -> tuple[Any, ...]:
        return of.fingerprint(), of.state_hash(), of.height, of.journal(n=10**6), of.metrics(), of.status(), dict(of.keys), of.orders()

    before = everything(node)
    copied = tmp_path / "copy"
    shutil.copytree(tmp_path, copied, ignore=shutil.ignore_patterns("copy", "lock"))
    again = DevnetNode.open(copied)  # as after kill -9: nothing of the first was closed
    assert everything(again) == before
    node.advance(3)
    again.advance(3)
    assert again.orders({"owner": "dave"}) == node.orders({"owner": "dave"}) != {"orders": []}
    assert again.revert()["height"] == 51 and again.fingerprint() == was
    node.close()
    again.close()


def test_who_asks_whether_a_devnet_runs_keeps_none_from_starting(tmp_path: Path) -> None:
    asking = take_lock(tmp_path)
    threading.Timer(0.1, asking.close).start()
    assert is_locked(tmp_path)
    take_lock(tmp_path).close()
    assert not is_locked(tmp_path)


def test_one_process_has_the_folder_and_goes_on_with_one_scenario(tmp_path: Path) -> None:
    node = DevnetNode.open(tmp_path, "tiny", speed=60)
    with pytest.raises(InputError, match="runs on this folder already"):
        DevnetNode.open(tmp_path)
    node.close()
    with pytest.raises(InputError, match="not with another scenario"):
        DevnetNode.open(tmp_path, "training")
    with pytest.raises(InputError, match="--seed: the devnet goes on with 1"):
        DevnetNode.open(tmp_path, seed=2)
    with pytest.raises(InputError, match="--accounts: the devnet goes on with 10"):
        DevnetNode.open(tmp_path, accounts=11)
    again = DevnetNode.open(tmp_path, "tiny", seed=1, accounts=10)
    assert again.speed == 60
    again.close()
    other = DevnetNode.open(tmp_path, "tiny", new="second")
    assert (other.name, other.height, other.speed) == ("second", 0, 1)
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["devnet.jsonl", "second.jsonl"]
    other.close()
    with pytest.raises(InputError, match="is there already"):
        DevnetNode.open(tmp_path, "tiny", new="devnet")
    for wrong in ("rm1", {"name": "x", "horizon": "1d", "providers": [{"name": "provider", "strategy": "scale", "capacity": {}}]}):
        with pytest.raises(InputError):
            DevnetNode.open(tmp_path / "wrong", wrong)


def test_a_damaged_log_is_named_with_the_way_out(tmp_path: Path) -> None:
    node = DevnetNode.open(tmp_path, "tiny", speed=0)
    for _ in range(4):
        node.advance(1)
    node.close()
    path = tmp_path / "logs" / "devnet.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)

    def opened() -> DevnetNode:
        return DevnetNode.open(tmp_path)

    path.write_bytes(whole[:-9])
    torn = opened()
    assert torn.height == 3 and "torn" in torn.note
    torn.close()
    assert path.read_bytes() == b"".join(lines[:-1])
    path.write_bytes(whole[:-1])  # only the end of the line is missing: it was answered
    again = opened()
    assert again.height == 4 and not again.note
    again.close()
    assert path.read_bytes() == whole
    other = json.loads(lines[3])
    foreign = other | {"before": "0" * 32}
    foreign["hash"] = line_hash("0" * 32, foreign)
    damages = {
        "3: damaged": b"".join([*lines[:2], lines[2].replace(b'"advance":1', b'"advance":9'), *lines[3:]]),
        "2: damaged": b"".join([lines[0], lines[1].replace(b"{", b"\xff", 1), *lines[2:]]),
        "3: lines are missing": b"".join([*lines[:2], *lines[3:]]),
        "4: foreign": b"".join([*lines[:3], json.dumps(foreign).encode() + b"\n", *lines[4:]]),
        "6: damaged": whole[:-1] + b"x",
        "1: is of format 0": b"".join([lines[0].replace(b'"format":1', b'"format":0'), *lines[1:]]),
        "1: its first line is cut off": lines[0][:50],
    }
    for said, data in damages.items():
        path.write_bytes(data)
        with pytest.raises(InputError, match=said) as raised:
            opened()
        assert "--new NAME" in str(raised.value)
        assert path.read_bytes() == data, "a log that cannot be read stays as it is"
