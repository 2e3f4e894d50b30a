"""A devnet that is killed under load at any moment: nothing that was answered is lost, and its log gives the same market every time.

Twenty times here; `make crash` does it 200 times (MARKETSIM_DEVNET_KILLS).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from devnets import order, serve_until_killed, wait_for

from marketsim.devnet.client import Client
from marketsim.devnet.node import DevnetNode
from marketsim.devnet.node_error import NodeError

KILLS = int(os.environ.get("MARKETSIM_DEVNET_KILLS", "20"))
SEED = int(os.environ.get("MARKETSIM_CRASH_SEED", "7"))
ONE_DEVNET = 20
"""Kills of one devnet, before another one begins."""
SIGNERS = ("alice", "bob", "carol", "dave")


def load(client: Client, signer: str, answered: list[dict[str, Any]], heights: list[int]) -> None:
    """Send until nobody answers any more."""
    number = 0
    try:
        while True:
            number += 1
            messages = [order(signer)] * (1 + number % 3)
            answered += client.submit(messages, signer)
            if number % 4 == 0:
                heights.append(client.advance(5)["height"])
    except NodeError:
        return


def test_nothing_that_was_answered_is_lost(tmp_path: Path) -> None:
    folder, chance = tmp_path, random.Random(SEED)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["marketsim.devnet.server", "devnets"])
    answered: list[dict[str, Any]] = []
    heights: list[int] = []
    torn = total = 0
    for number in range(KILLS):
        if number % ONE_DEVNET == 0:  # each replay takes as long as its log is
            folder, total = tmp_path / f"devnet-{number}", total + len(answered)
            answered, heights = [], []
        process = context.Process(target=serve_until_killed, args=(str(folder), "tiny"))
        process.start()
        client = wait_for(folder, process.pid)
        threads = [threading.Thread(target=load, args=(client, signer, answered, heights), daemon=True) for signer in SIGNERS]
        for thread in threads:
            thread.start()
        enough, until = len(answered) + chance.randint(1, 40), time.monotonic() + 60
        while len(answered) < enough and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.01))
        process.kill()
        process.join()
        for thread in threads:
            thread.join(30)
        copied = tmp_path / f"copy-{number}"
        shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("lock", "server.json"))
        once = DevnetNode.open(copied)
        torn += bool(once.note)
        lost = [each for each in answered if once.tx(each["hash"]) != each]
        assert not lost, f"kill {number + 1} (seed {SEED}): {len(lost)} of {len(answered)} answered are lost or others: {lost[0]}"
        assert once.height >= max(heights, default=0), f"kill {number + 1}: an advance that was answered is lost"
        place = (once.height, once.fingerprint(), once.state_hash())
        once.close()
        again = DevnetNode.open(copied)
        assert (again.height, again.fingerprint(), again.state_hash()) == place and not again.note
        again.close()
        shutil.rmtree(copied)
    total += len(answered)
    assert total > 10 * KILLS
    print(f"{KILLS} kills, {total} answered, {torn} torn tails", flush=True)
