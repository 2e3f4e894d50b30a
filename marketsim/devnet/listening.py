"""Where a devnet's server listens: on this machine, or elsewhere with a token."""

from __future__ import annotations

import socket

from marketsim.errors import InputError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names that no other machine answers to."""
TOKEN_LEAST = 16
"""Letters of a token."""


def listening(listen: str, token: str | None) -> socket.socket:
    """Return a socket that listens at `HOST:PORT` (port 0: a free one). Raises InputError for what is no address, for one that is taken,
    and for one beyond this machine without a token of 16 letters."""
    host, colon, port = listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise InputError(f"--listen: {listen!r} is no address, write 127.0.0.1:8443 or [::1]:8443")
    if host not in LOOPBACK and token is None:
        raise InputError(f"--listen: {host} can be reached from other machines, give --token as well, or listen at 127.0.0.1")
    if token is not None and len(token) < TOKEN_LEAST:
        raise InputError(f"--token: has {len(token)} letters, give at least {TOKEN_LEAST}")
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError("--token: has letters that no header carries, give letters and digits")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, int(port)))
    except OSError as error:
        found.close()
        raise InputError(f"--listen: {listen}: {error.strerror or error}, give another port") from None
    found.set_inheritable(False)
    return found


__all__ = ["LOOPBACK", "listening"]
