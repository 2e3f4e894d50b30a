"""Wire one run together: scenario in, record and summary out. The only place that knows every part."""

from marketsim.simulation.run import Run, run

__all__ = ["Run", "run"]
