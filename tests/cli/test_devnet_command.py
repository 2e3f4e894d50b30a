"""The devnet commands: started in the background, told and asked, ended; and what they say of bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main


def told(capfd: pytest.CaptureFixture[str], folder: Path, *words: str, code: int = 0) -> Any:
    """What a command prints, as JSON where it is."""
    capfd.readouterr()
    assert main(["devnet", *words, "--dir", str(folder)]) == code, capfd.readouterr()
    out, err = capfd.readouterr()
    return json.loads(out) if "--json" in words and code != 2 else out + err


def test_a_devnet_from_start_to_stop(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    begin = ["start", "tiny", "--detach", "--listen", "127.0.0.1:0", "--speed", "0", "--json"]
    monkeypatch.setattr(sys, "argv", ["marketsim", "devnet", *begin, "--dir", str(tmp_path)])
    assert "no devnet runs on this folder" in told(capfd, tmp_path, "status", code=2)
    said = told(capfd, tmp_path, *begin)
    assert said["height"] == 0 and len(said["accounts"]) == 10 and said["url"].startswith("http://127.0.0.1:")
    try:
        assert "runs on this folder already" in told(capfd, tmp_path, "start", code=2)
        assert told(capfd, tmp_path, "advance", "--blocks", "300", "--json") == {"height": 300, "until": 300, "met": True}
        assert "block 310, the limit" in told(capfd, tmp_path, "advance", "--until", "GroupPaused", "--limit", "10", code=1)
        assert told(capfd, tmp_path, "advance", "--until", "+5", "--json")["height"] == 315
        assert "one of the two" in told(capfd, tmp_path, "advance", code=2)
        assert "neither a height" in told(capfd, tmp_path, "advance", "--until", "Rain", code=2)
        assert told(capfd, tmp_path, "snapshot", "a") == "a: block 315\n"
        assert told(capfd, tmp_path, "faucet", "tenant", "5VE", "--json")["result"] == "ok"
        assert "no amount" in told(capfd, tmp_path, "faucet", "tenant", "0.5uve", code=2)
        assert told(capfd, tmp_path, "revert") == "a: block 315 again\n"
        assert told(capfd, tmp_path, "pause", "--json")["paused"]
        assert told(capfd, tmp_path, "resume") == "Speed 0: each message makes a block\n"
        assert "needs --limit" in told(capfd, tmp_path, "speed", "max", code=2)
        assert "is no speed" in told(capfd, tmp_path, "speed", "fast", code=2)
        assert told(capfd, tmp_path, "usage", "auto") == "usage auto: ok\n"
        assert told(capfd, tmp_path, "fault", "connectivity", "--provider", "provider", "--name", "cable") == "fault connectivity: ok\n"
        assert "InvalidParam" in told(capfd, tmp_path, "fault", "block", "--provider", "provider", "--name", "cable", code=1)
        assert "kinds are outage" in told(capfd, tmp_path, "fault", "rain", "--provider", "provider", code=2)
        assert "runs no code that a message names" in told(capfd, tmp_path, "fault", "python", "--provider", "provider", code=2)
        assert told(capfd, tmp_path, "repair", "cable", "--json")["result"] == "ok"
        assert "takes the name of a fault" in told(capfd, tmp_path, "repair", code=2)
        assert "bid won" in told(capfd, tmp_path, "logs", "-n", "50")
        assert "1 of 50 leases" in told(capfd, tmp_path, "status")
    finally:
        ended = told(capfd, tmp_path, "stop", "--json")
    assert ended["height"] == 319
    assert "no devnet runs" in told(capfd, tmp_path, "stop", code=2)
    assert "not with another scenario" in told(capfd, tmp_path, "start", "training", code=2)


def test_what_is_missing_is_said_with_the_command_that_installs_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "fastapi" else there(name, *more))
    assert "fastapi is not installed, `pip install 'marketsim[devnet]'` brings" in told(capfd, tmp_path, "start", code=2)
