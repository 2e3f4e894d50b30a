"""A university's computing market: one extension of marketsim of each kind."""
