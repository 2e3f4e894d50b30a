"""A devnet over HTTP: it answers what the node answers, keeps its pace, and what is not right is refused without harm."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from devnets import order, served

from marketsim.devnet import guard, server
from marketsim.devnet.client import Client
from marketsim.devnet.guard import Bucket
from marketsim.devnet.listening import listening
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.pace import Pace
from marketsim.errors import InputError

TOKEN = "a-token-of-enough-letters"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served(tmp_path_factory.mktemp("served"), speed=0) as found:
        yield found


def ask(client: Client, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """One request as it is written, and the answer."""
    place = urlsplit(client.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    sent = {"Content-Type": "application/json"} | ({"Content-Length": str(len(body))} if body is not None else {}) | headers
    for name, value in sent.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if answer.getheader("content-type", "").startswith("application/json") else text


def test_it_answers_what_the_node_answers(client: Client) -> None:
    assert next(iter(client.status())) == "height"
    client.advance(400)
    [made] = client.submit(order(), "tenant")
    assert made["result"] == "ok" and made["height"] == 401 == client.status()["height"]
    assert client.tx(made["hash"]) == made and client.tx("00") is None
    name = f"{made['id']}/1/1"
    assert client.orders({"owner": "tenant", "state": ["open", "active"]})["orders"][0]["id"] == name
    assert client.advance(until="BidCreated", limit=10)["met"]
    bid = client.bids({"order": name})["bids"][0]
    [lease] = client.submit({"op": "create_lease", "id": bid["id"]}, "tenant")
    assert client.leases({"id": lease["id"]})["leases"][0]["state"] == "active"
    assert client.escrow({"owner": "tenant"})["escrow"][0]["state"] == "open"
    assert client.deployments({"id": made["id"]})["deployments"][0]["id"] == made["id"]
    assert client.providers({"id": "provider"})["providers"][0]["active_leases"] >= 1
    assert any("bid won" in line and name in line for line in client.journal())
    assert client.faucet("frank", 5)["result"] == "ok"
    assert client.wallets({"id": "frank"})["wallets"][0]["balance"] == 10_000 * 10**6 + 5
    assert client.usage("auto")["result"] == client.reload_provider_config()["result"] == "ok"
    mine = client.status()["provider"]
    shown = client.metrics().decode()
    assert f'virtengine_provider_active_leases{{provider="{mine["address"]}"}} {mine["active_leases"]}.0' in shown
    assert f"virtengine_chain_height {client.status()['height']}.0" in shown
    assert client.name_of(client.keys["provider"]["address"]) == "provider-0"
    [tried] = client.submit(order("alice"), "alice", dry_run=True)
    assert tried["result"] == "ok" and not client.orders({"owner": "alice"})["orders"]
    added = client.add_key("zoe")
    client.faucet("zoe", 10**9)
    assert client.submit(order("zoe"), "zoe")[0]["result"] == "ok" and len(added["secret"]) == 64


def test_snapshots_bring_the_height_back(client: Client) -> None:
    height = client.status()["height"]
    assert client.snapshot("here")["height"] == height
    client.submit(order("bob"), "bob")
    assert client.revert("here")["height"] == height == client.status()["height"]
    assert not client.orders({"owner": "bob"})["orders"]
    with pytest.raises(NodeError, match="on the stack already"):
        client.snapshot("here")


def test_events_come_as_they_happen(client: Client) -> None:
    heard: list[dict[str, Any]] = []
    last = client.events(0, 1000)["next"]
    follower = client.follow(last)

    def listen() -> None:
        heard.extend(next(follower) for _ in range(4))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    client.submit(order("carol"), "carol")
    thread.join(30)
    assert [event["event"] for event in heard] == ["DeploymentCreated", "Deposited", "GroupOpened", "OrderCreated"]


def test_messages_wait_while_it_rests(client: Client) -> None:
    client.set_clock(paused=True)
    [waits] = client.submit(order("dave"), "dave")
    assert waits["height"] == 0 and waits["result"] == ""
    client.advance(1)
    assert (client.tx(waits["hash"]) or {})["result"] == "ok"
    clock = client.set_clock(paused=False, speed=600)
    height = clock["height"]
    [made] = client.submit(order("dave"), "dave")  # answered by the block that the clock makes
    assert made["height"] > height
    client.race(50)
    while not client.clock()["paused"]:
        time.sleep(0.01)
    assert client.clock()["height"] >= made["height"] + 50
    client.set_clock(speed=0, paused=False)


def test_the_description_opens_without_a_network(client: Client) -> None:
    code, page = ask(client, "GET", "/docs")
    assert code == 200 and b"/api/v1/orders" in page
    assert b"http://" not in page.replace(client.url.encode(), b"") and b"https://" not in page and b"<script" not in page
    code, openapi = ask(client, "GET", "/api/v1/openapi.json")
    assert code == 200 and openapi["openapi"].startswith("3.")
    said = {row["op"]: row["signer"] for row in ask(client, "GET", "/api/v1/messages")[1]["messages"]}
    assert said["create_bid"] == "provider" and said["settle_escrow"] == "governance"


def test_what_is_not_right_is_refused_without_harm(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = client.status()
    good = json.dumps({"signer": "tenant", "secret": "x", "messages": [order()]}).encode()
    secret = (client._folder / "keyring" / "devnet" / "alice").read_text()  # type: ignore[operator]
    of_alice = json.dumps({"signer": "tenant", "secret": secret, "messages": [order()]}).encode()
    post = "/api/v1/messages"
    for code, answer in (
        (403, ask(client, "GET", "/api/v1/status", Host="evil.example")),
        (403, ask(client, "GET", "/api/v1/status", Host="127.0.0.1.evil.example:8443")),
        (403, ask(client, "POST", post, good, Origin="http://evil.example")),
        (403, ask(client, "POST", post, good, Origin="null")),
        (401, ask(client, "POST", post, good)),
        (401, ask(client, "POST", post, of_alice)),
        (422, ask(client, "POST", post, b"{")),
        (422, ask(client, "POST", post, b'{"signer": "tenant"}')),
        (400, ask(client, "POST", post, b"[" * 100_000)),
        (413, ask(client, "POST", post, b" " * (guard.BODY_MAX + 1))),
        (422, ask(client, "GET", "/api/v1/orders?limit=0")),
        (422, ask(client, "GET", "/api/v1/orders?state=asleep")),
        (422, ask(client, "GET", "/api/v1/events/page?after=99999999999999999999")),
        (404, ask(client, "GET", "/api/v2/status")),
        (405, ask(client, "DELETE", "/api/v1/orders")),
        (400, ask(client, "POST", "/api/v1/clock", b'{"speed": "max"}')),
        (400, ask(client, "POST", "/api/v1/clock/advance", b"{}")),
        (404, ask(client, "POST", "/api/v1/snapshots/revert", b'{"name": "never"}')),
    ):
        assert answer[0] == code, answer
        assert isinstance(answer[1]["error"], list) and answer[1]["error"][0], answer
    chunks = b"".join(b"10000\r\n" + b" " * 0x10000 + b"\r\n" for _ in range(17)) + b"0\r\n\r\n"
    assert raw(client, b"POST /api/v1/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)[9:12] == b"413"
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    slow = b"POST /api/v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\nContent-Type: application/json\r\n\r\n{"
    assert raw(client, slow)[9:12] == b"408"
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.05)
    assert raw(client, b"GET /api/v1/status HT") == b""  # closed: no request came
    monkeypatch.setattr(guard, "AT_ONCE", 0)
    assert ask(client, "GET", "/api/v1/status")[0] == 503
    monkeypatch.undo()
    after = client.status()
    assert after == before and client.keys.keys() == before["accounts"].keys()


def raw(client: Client, data: bytes) -> bytes:
    """What comes back on a connection on which this is sent, until it is closed or a whole answer is there."""
    place = urlsplit(client.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        try:
            return connection.recv(65_536)
        except ConnectionError:
            return b""


def test_a_token_is_asked_of_everybody(tmp_path: Path) -> None:
    with served(tmp_path, token=TOKEN) as client:
        assert client.status()["height"] == 0
        for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": TOKEN}):
            code, said = ask(client, "GET", "/api/v1/status", **headers)
            assert code == 401 and said["error"]
        with pytest.raises(NodeError, match="Bearer"):
            Client(client.url).status()


@pytest.mark.parametrize(
    ("listen", "token", "why"),
    [
        ("0.0.0.0:0", None, "--token"),
        ("0.0.0.0:0", "short", "at least 16"),
        ("127.0.0.1", None, "no address"),
        ("127.0.0.1:99999", None, "no address"),
        ("127.0.0.1:0", "a token with spaces", "no header"),
    ],
)
def test_addresses_that_are_none_are_refused(listen: str, token: str | None, why: str) -> None:
    with pytest.raises(InputError, match=why):
        listening(listen, token)


def test_a_port_that_is_taken_is_named() -> None:
    with listening("127.0.0.1:0", None) as taken:
        taken.listen()
        with pytest.raises(InputError, match="give another port"):
            listening(f"127.0.0.1:{taken.getsockname()[1]}", None)


def test_more_than_the_rate_is_too_much() -> None:
    now = [0.0]
    bucket = Bucket(2.0, 3.0, lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now[0] = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now[0] = 100.0
    assert sum(bucket.take() for _ in range(10)) == 3


def test_the_pace_neither_drifts_nor_skips() -> None:
    pace = Pace(6.0)
    pace.begin(100, 10.0, 60.0)  # ten blocks a second
    assert [pace.due(10.0 + seconds) for seconds in (0.0, 0.05, 0.125, 1.0, 3600.0)] == [100, 100, 101, 110, 36_100]
    assert pace.next_at(10.25) == pytest.approx(10.3)
    pace.begin(110, 11.0, 0.0)
    assert pace.due(10**6) == 110 and pace.next_at(11.0) is None


def test_who_follows_events_is_let_go_at_the_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with served(tmp_path, speed=0) as found:
        found.advance(60)
        assert found.events(0, 1)["events"]
        events = found.follow(0)
        assert next(events)["height"] > 0
        heard: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: heard.extend(events), daemon=True)
        thread.start()
    thread.join(60)
    assert not thread.is_alive() and heard  # the stream has ended as one that is whole
    assert "timeout graceful shutdown exceeded" not in capfd.readouterr().err


def test_events_of_some_kinds(client: Client) -> None:
    client.advance(30)
    whole = client.events(0, 1000)["events"]
    status, text = ask(client, "GET", f"/api/v1/events?after=0&until={len(whole)}&kind=BidCreated&kind=BidWon")
    told = [json.loads(line[len("data: ") :]) for line in text.decode().splitlines() if line.startswith("data: ")]
    assert status == 200 and told == [event for event in whole if event["event"] in ("BidCreated", "BidWon")] != []
    assert ask(client, "GET", "/api/v1/events?kind=Nonsense")[0] == 422
