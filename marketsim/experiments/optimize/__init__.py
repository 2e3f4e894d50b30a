"""The search for the best setting under noise."""
