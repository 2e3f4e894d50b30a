"""Rules that agents follow, as plain functions over columns, and the stateless draws they use."""
