"""Exact money: pairs of integers, wide products, and the text of both."""
