"""SimPy processes of tenants and providers, and the named random streams they draw from."""
