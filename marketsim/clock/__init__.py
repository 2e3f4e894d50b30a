"""The one seam between simulated time and block height: the calendar, the block loop and the block clock."""
