"""Sweeps: the file, the plan, the rounds, the report."""
