"""Sweeps, comparisons and searches over scenarios, with honest statistics."""
