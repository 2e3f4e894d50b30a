"""The accounts of a devnet and their keys: a key is a random secret that its holder keeps, the devnet knows its hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from marketsim.devnet.addresses import address_of
from marketsim.errors import InputError

PROVIDER, VALIDATOR = "provider", "validator"
"""The trainee's own provider, whose engine the devnet runs, and the key that signs what only governance may."""
ACCOUNTS = (PROVIDER, "tenant", VALIDATOR, "friend", "alice", "bob", "carol", "dave", "erin", "frank")
"""The names of the first accounts."""
FUNDS = "10000VE"
"""What each has at the start."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class AccountKey(NamedTuple):
    """A key: its name, its account's address, and the hash of its secret, which nobody can turn back."""

    name: str
    address: str
    hash: str

    def fits(self, secret: str) -> bool:
        """Return whether a secret is this key's; it takes the same time whatever the secret is."""
        return hmac.compare_digest(secret_hash(secret), self.hash)


def secret_hash(secret: str) -> str:
    """Return what a devnet keeps of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def account_names(count: int) -> list[str]:
    """Return the names of the first `count` accounts; InputError for fewer than the three that everything needs."""
    if count < 3:
        raise InputError(f"--accounts: {count} is too few, give at least 3: {', '.join(ACCOUNTS[:3])}")
    return [*ACCOUNTS[:count], *(f"account-{number}" for number in range(len(ACCOUNTS) + 1, count + 1))]


def wallet_of_key(name: str) -> str:
    """Return the name of the wallet that a key's account is in the market: providers are counted from 0 there."""
    return f"{PROVIDER}-0" if name == PROVIDER else name


def new_key(name: str) -> tuple[AccountKey, str]:
    """Return a new key and its secret. Raises InputError for what is no name."""
    if not _NAME.fullmatch(name):
        raise InputError(f"key: {name!r} is no name, write letters, digits, _ . and -, a letter first, 64 at most")
    secret = secrets.token_hex(32)
    return AccountKey(name, address_of(wallet_of_key(name)), secret_hash(secret)), secret


__all__ = ["ACCOUNTS", "FUNDS", "PROVIDER", "VALIDATOR", "AccountKey", "account_names", "new_key", "secret_hash", "wallet_of_key"]
