"""Pricing strategies that are not compiled: what they are asked, what they answer, and what they are held to."""
