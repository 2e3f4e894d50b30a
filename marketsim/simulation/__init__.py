"""Wire one run together: scenario in, record and summary out. The only place that knows every part."""

from marketsim.simulation.live import Market, Run
from marketsim.simulation.run import run

__all__ = ["Market", "Run", "run"]
