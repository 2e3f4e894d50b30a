"""A market of one's own that runs on a laptop as a testnet would: accounts with keys, a log that survives, a server, no end."""
