"""A Prometheus that scrapes a devnet and runs beside it on the loopback, for as long as the devnet does."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from marketsim.devnet.folder import write_private
from marketsim.metrics.prometheus_folder import CONFIG, scraping, serve_command, write_configuration

FOLDER = "prometheus"
"""In the devnet's folder: configuration, rules, dashboard, the data and what the program says."""
PORT = 9090
"""Where it answers, unless that is taken."""
FAILS_WITHIN_SECONDS = 0.7
STOP_SECONDS = 10.0


class ScrapingPrometheus:
    """Writes what a Prometheus needs to scrape the devnet at `url` into the devnet's folder, and runs one where the program is there."""

    def __init__(self, folder: Path, url: str, token: str | None = None, *, port: int = PORT, every: str = "5s") -> None:
        """Write the configuration; `every` is the time between scrapes."""
        self.folder = folder / FOLDER
        self.folder.mkdir(exist_ok=True)
        write_configuration(self.folder)
        # the file may hold the token
        write_private(self.folder / CONFIG, scraping(_target(url), token, every))
        self.url: str | None = None
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str | None:
        """Run it; return what is wrong, None when it runs. The devnet goes on in either case."""
        if (missing := missing_program(self.folder)) is not None:
            return missing
        if (last := self._last()) is not None:
            return f"one of a devnet that was killed still runs at {last} and has {self.folder / 'data'}, end it and start again"
        address = f"127.0.0.1:{_free(self._port)}"
        output = self.folder / "prometheus.log"
        words = [
            "prometheus",
            f"--config.file={self.folder / CONFIG}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={address}",
        ]
        with output.open("wb") as file:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(FAILS_WITHIN_SECONDS)
            said = (output.read_text(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
            return f"prometheus has ended with code {code}: {said}; {output} has all that it says"
        self.url = f"http://{address}"
        write_private(self.folder / "url", self.url)
        return None

    def stop(self) -> None:
        """End it and wait until its data is on the disk."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        (self.folder / "url").unlink(missing_ok=True)

    def _last(self) -> str | None:
        """Wait for the Prometheus of the devnet before, which may be writing its data; return where it answers if it does not end."""
        end = time.monotonic() + STOP_SECONDS
        while (url := running_at(self.folder.parent)) is not None and _answers(url):
            if time.monotonic() > end:
                return url
            time.sleep(0.1)
        return None


def missing_program(folder: Path) -> str | None:
    """Return what to do where the program is not installed, None where it is; `folder` has the configuration."""
    if shutil.which("prometheus") is not None:
        return None
    return f"prometheus is not installed (Debian package prometheus); where it is, start it with\n  {serve_command(folder, '')}"


def running_at(folder: Path) -> str | None:
    """Return where the Prometheus of a devnet's folder answers, None when none runs."""
    path = folder / FOLDER / "url"
    return path.read_text() if path.is_file() else None


def _answers(url: str) -> bool:
    found = urlsplit(url)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((found.hostname or "", found.port or 0)) == 0


def _target(url: str) -> str:
    """Return where to scrape: a devnet that listens everywhere is asked on this machine."""
    found = urlsplit(url)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(found.hostname or "", found.hostname or "")
    return f"[{host}]:{found.port}" if ":" in host else f"{host}:{found.port}"


def _free(port: int) -> int:
    """Return the port, or a free one where it is taken."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", wanted))
                return int(probe.getsockname()[1])
    raise OSError("no port is free")


__all__ = ["FOLDER", "ScrapingPrometheus", "missing_program", "running_at"]
