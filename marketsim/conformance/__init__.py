"""Replays of recorded answers of the real chains, held against this project's own code."""
