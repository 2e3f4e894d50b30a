"""What a devnet answers at `/metrics` is what `export` writes of a recorded run of the same market, at the same height."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import marketsim as ms
from marketsim.devnet.addresses import address_of
from marketsim.devnet.node import DevnetNode

HEIGHTS = (600, 7_200, 14_400)


def addressed(line: str) -> str:
    """A line of the file with addresses in place of names, and without its time."""
    return re.sub(r'\b(owner|provider)="([^"]*)"', lambda found: f'{found[1]}="{address_of(found[2])}"', line.rpartition(" ")[0])


@pytest.mark.parametrize("name", ["training", "small"])
def test_a_scrape_is_the_export_at_three_heights(name: str, tmp_path: Path) -> None:
    node = DevnetNode.open(tmp_path / "devnet", name, speed=0)
    try:
        scraped = {}
        for height in HEIGHTS:
            node.advance(height - node.height)
            scraped[height] = {line for line in node.metrics().decode().splitlines() if not line.startswith("#")}
        market = node._begin["scenario"]
    finally:
        node.close()
    ms.run(market, overrides=["horizon=1d"], out=tmp_path / "run", progress=False)
    ms.export_run(tmp_path / "run", openmetrics=tmp_path / "run.om", progress=False)
    start = min(
        float(stamp) for stamp in re.findall(r"^virtengine_chain_height \S+ (\S+)$", (tmp_path / "run.om").read_text(), re.MULTILINE)
    )
    lines = (tmp_path / "run.om").read_text().splitlines()
    for height in HEIGHTS:
        stamp = f" {start + height * 6}"
        written = {addressed(line) for line in lines if line.endswith(stamp) and " NaN " not in line}
        assert len(written) > 100 and written == scraped[height]
