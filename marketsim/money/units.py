"""Units: what a uve is divided into and how much of it there can be, shares, sizes and times."""

DECIMALS = 18
"""Decimals of every price, rate and escrow balance."""
ATTO = 1_000_000_000_000_000_000
"""Atto-uve in one uve."""
UVE_PER_VE = 1_000_000
WHOLE_MAX = 9_000_000_000_000_000_000
"""Largest amount in whole uve; the supply may not exceed it."""

NANO = 1_000_000_000
"""Nano-uve in one uve, and atto-uve in one nano-uve."""
PPM = 1_000_000
"""Parts of a whole in which shares, margins and multipliers are counted."""

PERCENT = 100
"""Hundredths of a whole."""

MILLICORES = 1_000
"""Millicores of a core."""
MIB = 1 << 20
GIB = 1 << 30
"""Bytes of a MiB and of a GiB."""
MIB_A_GIB = 1_024

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
"""Milliseconds of a second, a minute, an hour and a day."""
HOURS_A_DAY = 24
DAYS_A_YEAR = 365
BLOCKS_A_MONTH = 429_909
"""Blocks of 6.117 s in a month of 30.437 days, as VirtEngine's pricing script and the recorded chain have it."""
