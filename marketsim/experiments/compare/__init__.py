"""Paired comparisons of two arms."""
