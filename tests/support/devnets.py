"""Devnets that tests start: served in a thread of this process, or in a process of their own that may be killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marketsim.devnet import node as node_module
from marketsim.devnet.client import Client
from marketsim.devnet.listening import listening
from marketsim.devnet.node import DevnetNode
from marketsim.devnet.server import serve

GROUP = {"name": "web", "resources": [{"price": "1", "count": 1, "cpu": 1000, "memory": 2**30, "storage": 2**30, "gpu": 0}]}


def order(owner: str = "tenant", **more: Any) -> dict[str, Any]:
    return {"op": "create_deployment", "id": owner, "deposit": "500", "sources": ["balance"], "groups": [GROUP]} | more


@contextmanager
def served(folder: Path, scenario: str | None = "tiny", token: str | None = None, **options: Any) -> Iterator[Client]:
    """A devnet that answers while the block runs; it ends by a request."""
    node = DevnetNode.open(folder, scenario, **options)
    ready = threading.Event()
    wanted = {"token": token, "limit": None, "ready": lambda _: ready.set()}
    thread = threading.Thread(target=serve, args=(node, listening("127.0.0.1:0", token)), kwargs=wanted, daemon=True)
    thread.start()
    assert ready.wait(60)
    client = Client.of(folder)
    try:
        yield client
    finally:
        client.stop()
        thread.join(60)
        assert not thread.is_alive()


def serve_until_killed(folder: str, scenario: str) -> None:
    """What a process of its own runs: a devnet in which each message makes a block, and what is over goes from memory at each."""
    node_module.REST_BLOCKS = 1
    node = DevnetNode.open(folder, scenario, speed=0)
    serve(node, listening("127.0.0.1:0", None), token=None, limit=None, ready=lambda _: None)


def wait_for(folder: Path, pid: int | None) -> Client:
    """A client of the devnet that such a process serves, once it answers."""
    from marketsim.devnet.folder import read_address

    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = read_address(folder)
        if found is not None and found["pid"] == pid:
            client = Client.of(folder)
            try:
                client.clock()
            except Exception:
                time.sleep(0.01)
                continue
            return client
        time.sleep(0.01)
    raise AssertionError("the devnet does not answer")
