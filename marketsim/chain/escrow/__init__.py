"""Escrow accounts and their payments under every rule."""
