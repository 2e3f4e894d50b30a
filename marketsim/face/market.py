"""The running market of Python: what `finish` returns is what `run` returns."""

from __future__ import annotations

from marketsim.face.runs import RunResult
from marketsim.simulation import live


class HeldMarket(live.Market):
    """A running market for people and scripts: `Market("scenarios/small.yaml", seed=1)`.

        market.advance("12h")
        market.orders(state="open")
        market.submit({"op": "close_deployment", "id": "web-0/17"})
        other = market.fork()
        summary = market.finish().summary

    Heights are block numbers, amounts exact decimals of uve; what is wrong with what one gives raises `marketsim.InputError`.

    >>> import marketsim as ms
    >>> market = ms.Market("tiny", seed=1)
    >>> _ = list(market.advance("15m"))
    >>> market.height
    150
    """

    def finish(self) -> RunResult:  # type: ignore[override]
        """Advance to the scenario's last block and return what `run` returns; the market is over then."""
        finished = super().finish()
        return RunResult(finished.summary, finished.record)


Market = HeldMarket
"""The name under which it is public."""
