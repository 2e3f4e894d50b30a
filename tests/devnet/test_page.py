"""The devnet's page in a headless Chromium: what it shows, by keyboard, on 400 pixels, with a token, and against names that are code."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, browser, needs_chromium
from devnets import order, served

from marketsim.devnet.client import Client

TOKEN = "a-token-of-enough-letters"
SHOWN = "document.getElementById('clock').textContent.startsWith('block')"
ATTACK = "<img src=x onerror=window.owned=1><script>window.owned=1</script>"


def text(name: str) -> str:
    return f"document.getElementById({json.dumps(name)}).textContent"


def cells(name: str, column: int) -> str:
    return f"[...document.getElementById({json.dumps(name)}).rows].map(row => row.cells[{column}].textContent)"


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something has the focus, as somebody without a mouse does."""
    for _ in range(80):
        page.press("Tab")
        if page.see(f"document.activeElement.id === {json.dumps(name)} || document.activeElement.dataset?.id === {json.dumps(name)}"):
            return
    raise AssertionError(f"Tab does not come to {name}")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served(tmp_path_factory.mktemp("page"), "training", speed=0) as found:
        found.advance(14_400)
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_it_asks_nobody_else_and_runs_its_own_script_only(client: Client) -> None:
    with urllib.request.urlopen(f"{client.url}/") as answer:
        html, rule = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert rule.startswith("default-src 'none'; script-src 'sha256-") and "connect-src 'self'" in rule and "unsafe" not in rule
    assert not re.findall(r"https?:|//[a-z]|@import|url\(|\son[a-z]+=|\sstyle=", html)
    parts = set(re.findall(r'\bid="([a-z-]+)"', html))
    assert set(re.findall(r'\b(?:at|put|bar|rows)\("([a-z-]+)"', html)) <= parts
    with urllib.request.urlopen(f"{client.url}/dash") as answer:
        assert answer.url == f"{client.url}/" and answer.read().decode() == html
    with urllib.request.urlopen(f"{client.url}/docs") as answer:
        assert "/api/v1/explain" in answer.read().decode() and "script-src 'none'" in answer.headers["Content-Security-Policy"]


@needs_chromium
def test_the_dashboard(client: Client, page: Page) -> None:
    page.open(f"{client.url}/", 400, 800)
    page.until(SHOWN)
    found = client.dashboard("provider", 100)
    leases, escrow = found["leases"], found["escrow"]
    assert page.see(text("clock")).startswith(f"block {found['height']:,} · {found['time']}")
    assert page.see(text("leases")) == f"{leases['active']}/{leases['capacity']}" and page.see(text("warnings")) == f"{escrow['warnings']}"
    assert page.see(text("fill")) == f"{found['orders']['fill_rate']:.0%}"
    assert page.see("[...document.getElementById('lowest').rows].map(row => row.cells[0].title)") == [
        row["lease"] for row in escrow["lowest"]
    ]
    assert page.see(text("journal")).splitlines() == client.journal(n=30)
    assert page.see("document.documentElement.scrollWidth") <= 400
    assert page.see("[...document.querySelectorAll('button, select, input')].every(part => part.getBoundingClientRect().right <= 400 "
                    "|| part.closest('.scroll'))")  # fmt: skip
    assert not page.said and page.asked and all(url.startswith(f"{client.url}/") for url in page.asked)


@needs_chromium
def test_bids_arrive_on_an_order(client: Client, page: Page) -> None:
    page.open(f"{client.url}/")
    page.until(SHOWN)
    page.until(f"{text('following')} === ''")
    group = {"name": "web", "resources": [{"price": "1", "count": 1, "cpu": 1000, "memory": 2**30, "storage": 2**30, "gpu": 0}]}
    ids = []
    for _ in range(2):
        [receipt] = client.submit(order(groups=[group]), "tenant")
        assert receipt["code"] == 0
        ids.append(f"{receipt['id']}/1/1")
    client.advance(until=f"BidCreated:{ids[1]}/{client.status()['provider']['address']}", limit=60)
    bids = {name: client.bids({"order": name, "state": "open"})["bids"] for name in ids}
    assert all(bids.values())
    own = f"row => row.cells[0].title === {json.dumps(ids[1])}"
    page.until(f"[...document.getElementById('orders').rows].find({own})?.cells[2].textContent === '{len(bids[ids[1]])}'")
    arrived = page.see(cells("arriving", 1))
    assert arrived.count("bid") >= sum(map(len, bids.values())) and "order" in arrived
    tab_to(page, ids[1])
    page.press("Enter")
    page.until(f"{text('on-order')}.includes({json.dumps(ids[1].split('/')[1])})")
    ranked = sorted(bids[ids[1]], key=lambda bid: float(bid["price"]))
    assert page.see(cells("bids", 0)) == [bid["price"] for bid in ranked]
    assert page.see(f"document.activeElement.dataset.id === {json.dumps(ids[1])}")  # the page draws anew and it keeps the focus
    client.advance(until=f"LeaseCreated:{ids[1]}/{ranked[0]['provider']}" if len(ranked) == 1 else "OrderClosed", limit=200)


@needs_chromium
def test_the_escrow_of_a_lease_runs_down(client: Client, page: Page) -> None:
    [ordered] = client.submit(order(deposit="20"), "tenant")
    mine = f"{ordered['id']}/1/1/{client.status()['provider']['address']}"
    client.advance(until=f"BidCreated:{mine}", limit=60)
    [leased] = client.submit({"op": "create_lease", "id": mine}, "tenant")
    assert leased["code"] == 0
    client.advance(20)
    page.open(f"{client.url}/")
    page.until(SHOWN)
    chosen = next(each for each in client.dashboard("provider", 100)["escrow"]["lowest"] if each["lease"] == mine)
    tab_to(page, chosen["lease"])
    page.press("Enter")
    page.until(f"document.getElementById('lease').value === {json.dumps(chosen['lease'])}")
    for _ in range(2):
        client.advance(100)  # within an hour: at its end what nobody has reported as used is not charged
        page.until(f"{text('clock')}.startsWith('block {client.clock()['height']:,} ')")
    now = next(each for each in client.dashboard("provider", 100)["escrow"]["lowest"] if each["lease"] == chosen["lease"])
    assert page.see(text("lease-note")).startswith(f"{now['balance_uve']:,.2f} uve at ")
    heights = [float(pair.split(",")[1]) for pair in page.see("document.getElementById('lease-points').getAttribute('points')").split()]
    assert len(heights) >= 3 and heights == sorted(heights) and heights[0] < heights[-1]  # y grows downwards
    assert now["balance_uve"] == pytest.approx(chosen["balance_uve"] - 200 * chosen["price_uve"])


@needs_chromium
def test_the_clock_by_keyboard(client: Client, page: Page) -> None:
    page.open(f"{client.url}/", 400, 800)
    page.until(SHOWN)
    height = client.clock()["height"]
    tab_to(page, "pause")
    page.press("Enter")
    page.until(f"{text('pause')} === 'Resume' && {text('said')} === 'marketsim devnet pause'")
    assert client.clock()["paused"]
    page.press("Space")
    page.until(f"{text('pause')} === 'Pause'")
    page.press("Tab", "ArrowDown")
    page.until(f"{text('said')} === 'marketsim devnet speed 1'")
    assert client.clock()["speed"] == 1
    page.press("ArrowUp")
    page.until(f"{text('said')} === 'marketsim devnet speed 0'")
    made = client.clock()["height"]
    assert client.clock()["speed"] == 0 and made - height < 100
    page.press("Tab", "2", "Enter")  # the number is marked when it has the focus: 2 hours in place of 1
    page.until(f"{text('said')} === 'marketsim devnet advance --blocks 1200'")
    assert client.clock()["height"] == made + 1_200
    page.see("document.getElementById('many').value = '1000001'")
    page.see("document.getElementById('advance').click()")
    assert page.see("document.getElementById('many').validity.rangeOverflow") and client.clock()["height"] == made + 1_200


@needs_chromium
def test_with_a_token_it_is_asked_for(page: Page, tmp_path: Path) -> None:
    with served(tmp_path, "tiny", token=TOKEN, speed=0) as client:
        with urllib.request.urlopen(f"{client.url}/") as answer:
            assert TOKEN not in answer.read().decode()
        for path in ("/docs", "/metrics", "/api/v1/status", "/api/v1/events"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(f"{client.url}{path}")
        page.open(f"{client.url}/")
        page.until("!document.getElementById('token-form').hidden && document.getElementById('all').hidden")
        page.press(*"wrong", "Enter")
        page.until(f"{text('said')} === 'that is not its token' && !document.getElementById('token-form').hidden")
        page.press(*TOKEN, "Enter")
        page.until(f"{SHOWN} && !document.getElementById('all').hidden && {text('said')} === ''")
        page.until(f"{text('following')} === ''")
        client.advance(20)
        page.until(f"{text('clock')}.startsWith('block 20 ') && {cells('arriving', 1)}.includes('bid')")
        assert not any(TOKEN in url for url in page.asked)


@needs_chromium
def test_names_that_are_code_are_letters(page: Page, tmp_path: Path) -> None:
    with served(tmp_path, speed=0) as client:
        client.advance(20)
        page.open(f"{client.url}/")
        page.until(SHOWN)
        # as if the chain said it: ids of events, orders, leases and lines of the daemon
        page.see(f"arrive({{event: 'BidCreated', height: 1, id: {json.dumps(ATTACK + '/1/1/1/' + ATTACK)}, amount: {json.dumps(ATTACK)}}})")
        said, order_of = client.dashboard(), {"id": ATTACK, "created_at": 1, "ceiling": ATTACK, "cpu": 1}
        said |= {"name": ATTACK, "scenario": ATTACK, "time": ATTACK}
        said["escrow"]["lowest"] = [{"lease": ATTACK, "hours": 1, "balance_uve": 1, "price_uve": 1, "active": True}]
        page.see(f"show({json.dumps(said)}, [{json.dumps(order_of)}], [], [{json.dumps(ATTACK)}])")
        assert page.see(text("name")) == f"{ATTACK} ({ATTACK})" and page.see("document.images.length") == 0
        assert page.see(text("journal")) == ATTACK and page.see("document.getElementById('lease').value") == ATTACK
        # and where it came to be markup after all, the browser would not run it
        page.see(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(ATTACK)})")
        page.see("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.owned = 1'}))")
        page.see("new Promise(done => setTimeout(done, 200))")
        assert page.see("window.owned") is None
        with urllib.request.urlopen(f"{client.url}/docs") as answer:
            assert "<script" not in answer.read().decode()
