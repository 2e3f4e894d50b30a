"""A headless Chromium that tests look at pages with, told over a pipe (the DevTools protocol), so that nothing of it is downloaded."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian package chromium)")
PATIENCE_SECONDS = 60.0
NUMBERS = {"Enter": 13, "Tab": 9, "Space": 32, "ArrowDown": 40, "ArrowUp": 38}
LAUNCH = """
import fcntl, os, sys
to_it, from_it = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(to_it, 3), os.dup2(from_it, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The protocol wants descriptors 3 and 4, which Python's pipes have only by chance."""


class Page:
    """One page: `see` an expression of its JavaScript, `until` it is true, press keys, look at it as a picture."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._rest = b""
        self._number = 0
        self.session = ""
        self.asked: list[str] = []
        """Addresses that the page has asked for."""
        self.said: list[str] = []
        """What it has written on its console, and exceptions that nobody caught."""

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values} | ({"sessionId": self.session} if self.session else {})
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self._next(end)
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                result: dict[str, Any] = found["result"]
                return result
            self._take(found)

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._reader], [], [], max(0.0, end - time.monotonic()))
            assert ready, "chromium does not answer"
            more = os.read(self._reader, 1 << 20)
            assert more, "chromium has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _take(self, event: dict[str, Any]) -> None:
        values = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(values["request"]["url"])
            case "Runtime.exceptionThrown":
                self.said.append(str(values["exceptionDetails"]))
            case "Log.entryAdded":
                self.said.append(values["entry"]["text"])

    def open(self, url: str, width: int = 1200, height: int = 900) -> None:
        """Go to an address, in a window of that size."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)

    def see(self, expression: str) -> Any:
        """Return what an expression is, as JSON has it."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := self.see(f"(() => {{ try {{ return ({expression}); }} catch (error) {{ return false; }} }})()")):
            assert time.monotonic() < end, (expression, self.see("document.body.innerText"), self.said)
            time.sleep(0.05)
        return found

    def press(self, *keys: str) -> None:
        """Press keys, by their names or letters."""
        for key in keys:
            text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
            name, code = (" ", "Space") if key == "Space" else (key, key)
            number = NUMBERS.get(key) or (ord(key.upper()) if len(key) == 1 else 0)
            values = {"key": name, "code": code, "windowsVirtualKeyCode": number}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **values, **({"text": text} if text else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write what is seen as a PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A page in a Chromium of its own, whose profile is in a folder."""
    assert CHROMIUM is not None
    to_it, writer = os.pipe()
    reader, from_it = os.pipe()
    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-component-update",
        "--disable-background-networking", "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank",
    ]  # fmt: skip
    command = [sys.executable, "-c", LAUNCH, str(to_it), str(from_it), CHROMIUM, *options]
    child = subprocess.Popen(command, pass_fds=(to_it, from_it), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(to_it)
    os.close(from_it)
    page = Page(reader, writer)
    try:
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        yield page
    finally:
        child.terminate()
        child.wait(30)
        os.close(reader)
        os.close(writer)
