"""The units of money: what a uve is divided into, and how much of it there can be."""

DECIMALS = 18
"""Decimals of every price, rate and escrow balance."""
ATTO = 1_000_000_000_000_000_000
"""Atto-uve in one uve."""
UVE_PER_VE = 1_000_000
WHOLE_MAX = 9_000_000_000_000_000_000
"""Largest amount in whole uve; the supply may not exceed it."""
