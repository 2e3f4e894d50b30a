"""A real Prometheus beside a devnet: it scrapes it, with its token, and answers the document's query with the devnet's own figure."""

from __future__ import annotations

import json
import shutil
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from devnets import served

from marketsim.devnet.prometheus import ScrapingPrometheus, running_at

TOKEN = "a-token-of-enough-letters"


def ask(url: str, query: str) -> list[float]:
    """The values that a query has now."""
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=30) as answer:
        return [float(row["value"][1]) for row in json.load(answer)["data"]["result"]]


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian package prometheus)")
def test_a_prometheus_scrapes_a_devnet(tmp_path: Path) -> None:
    with served(tmp_path, "tiny", token=TOKEN, speed=0) as client:
        client.advance(100)
        beside = ScrapingPrometheus(tmp_path, client.url, TOKEN, port=0, every="1s")
        assert beside.start() is None and beside.url is not None and running_at(tmp_path) == beside.url
        try:
            mine = client.status()["provider"]
            assert mine["active_leases"] > 0
            query = f'virtengine_market_active_leases{{provider="{mine["address"]}"}}'
            end = time.monotonic() + 60
            found: list[float] = []
            while not found and time.monotonic() < end:
                time.sleep(0.2)
                try:
                    found = ask(beside.url, query)
                except OSError:
                    continue  # it has not begun to answer, or is reading its data
            assert found == [mine["active_leases"]]
            assert ask(beside.url, "virtengine_chain_height") == [100]
            assert ask(beside.url, "virtengine_escrow_balance < virtengine_lease_rate * 86400") == []
            assert f'credentials: "{TOKEN}"' in (beside.folder / "prometheus.yml").read_text()
            assert (beside.folder / "prometheus.yml").stat().st_mode & 0o077 == 0
        finally:
            beside.stop()
    assert running_at(tmp_path) is None


def test_where_none_is_installed_the_way_to_one_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    beside = ScrapingPrometheus(tmp_path, "http://[::]:8443")
    assert "prometheus is not installed (Debian package prometheus)" in str(beside.start()) and beside.url is None
    assert {"prometheus.yml", "document.yml", "exercise-2.yml", "dashboard.json"} <= {each.name for each in beside.folder.iterdir()}
    assert 'targets: ["[::1]:8443"]' in (beside.folder / "prometheus.yml").read_text()
    beside.stop()
