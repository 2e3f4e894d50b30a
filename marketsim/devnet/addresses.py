"""The addresses of a devnet: every wallet has one, made of its name, and both lead to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from bech32 import bech32_decode, bech32_encode, convertbits

PREFIX = "ve"
"""What addresses begin with, before the 1 of bech32 (BIP 173)."""
NAMES = ("owner", "provider", "wallet", "granter", "signer", "account", "depositor", "name", "auditor", "to")
"""Keys of messages, receipts, events and records whose values are wallets."""
IDS = ("id", "order", "deployment", "lease")
"""Keys whose values begin with a wallet, and end with one where they have five parts."""


def address_of(name: str) -> str:
    """Return the address of a wallet's name, which is the same in every devnet; an address is its own."""
    if is_address(name):
        return name
    data = convertbits(hashlib.sha256(f"devnet {name}".encode()).digest()[:20], 8, 5)
    return bech32_encode(PREFIX, data or ())


def is_address(text: str) -> bool:
    """Return whether a text is an address, its check sum included."""
    prefix, data = bech32_decode(text)
    return prefix == PREFIX and data is not None


class Addresses:
    """Names and addresses of a market's wallets: `wallets` are the names by row, which only grow, `aliases` other words for some."""

    def __init__(self, wallets: Sequence[str], aliases: Mapping[str, str]) -> None:
        self._wallets = wallets
        self._aliases = aliases
        self._by_name: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._known = 0

    def address(self, name: str) -> str:
        """Return the address of a wallet's name."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = address_of(name)
        return found

    def name(self, text: str) -> str:
        """Return the name of the wallet that an address, a key or a name stands for; what nobody has stays as it is."""
        if text in self._aliases:
            return self._aliases[text]
        for row in range(self._known, len(self._wallets)):
            self._names[self.address(self._wallets[row])] = self._wallets[row]
        self._known = len(self._wallets)
        return self._names.get(text, text)

    def name_id(self, text: str) -> str:
        """Return an id with names in place of addresses."""
        return self._id(text, self.name)

    def address_id(self, text: str) -> str:
        """Return an id with addresses in place of names."""
        return self._id(text, self.address)

    @staticmethod
    def _id(text: str, turn: Any) -> str:
        parts = text.split("/")
        parts[0] = turn(parts[0])
        if len(parts) == 5:
            parts[4] = turn(parts[4])
        return "/".join(parts)

    def named(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message with names in place of addresses."""
        return {key: self._turned(key, value, self.name) for key, value in message.items()}

    def addressed(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is told of the chain with addresses in place of names."""
        return {key: self._turned(key, value, self.address) for key, value in told.items()}

    def _turned(self, key: str, value: Any, turn: Any) -> Any:
        if not isinstance(value, str) or not value:
            return value
        if key in NAMES:
            return turn(value)
        return self._id(value, turn) if key in IDS else value


__all__ = ["PREFIX", "Addresses", "address_of", "is_address"]
