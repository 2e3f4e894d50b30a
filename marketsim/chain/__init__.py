"""The market protocol on columns: deterministic, with no clock, no randomness and no simulation library."""
