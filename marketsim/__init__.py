"""marketsim simulates the VirtEngine compute marketplace: orders, bids, leases and their escrow, block by
block.
"""

__version__ = "0.1.0"
