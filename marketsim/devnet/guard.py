"""What stands before a devnet's server: who may ask from where, how much at once, how often; refusals change nothing."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException

from marketsim.devnet.listening import LOOPBACK

BODY_MAX = 1 << 20
"""Bytes of a request's body."""
BODY_SECONDS = 10.0
"""How long a request's body may take to arrive."""
AT_ONCE = 128
"""Requests that are answered at the same time, those that wait for a block among them."""
RATE, BURST = 500.0, 1_000.0
"""Requests a second that are answered in the long run, and how many more may come together: beyond that it is 429."""
WITHOUT_TOKEN = frozenset({"/", "/dash"})
"""The page that asks for the token: it has nothing of the devnet in it."""
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Bucket:
    """Tokens that come back at a rate: `take` one, or be told that none is there."""

    def __init__(self, rate: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._now = rate, burst, now
        self._left, self._at = burst, now()

    def take(self) -> bool:
        """Return whether there was one."""
        now = self._now()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RequestRefusedError(HTTPException):
    """A request that goes no further: the status and why."""


class Guard:
    """Lets requests through to an app (ASGI), or refuses them: foreign Host or Origin 403, no token 401, too large 413, too slow 408, too
    often 429, too many at once 503."""

    def __init__(self, app: App, *, hosts: frozenset[str] = LOOPBACK, token: str | None = None, bucket: Bucket | None = None) -> None:
        """`hosts` are the names by which the server may be asked; `token` is what every request must bear, None for nothing."""
        self._app = app
        self._hosts = hosts
        self._token = token
        self._bucket = bucket or Bucket(RATE, BURST)
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._look(scope)
        except RequestRefusedError as refusal:
            await _answer(refusal, send)
            return
        self._running += 1
        try:
            await self._app(scope, _measured(receive), send)
        finally:
            self._running -= 1

    def _look(self, scope: Scope) -> None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or self._name(f"//{hosts[0].decode('latin-1')}") not in self._hosts:
            raise RequestRefusedError(403, f"Host: is another than {', '.join(sorted(self._hosts))}")
        for origin in headers.get(b"origin", []):
            if self._name(origin.decode("latin-1")) not in self._hosts:
                raise RequestRefusedError(403, "Origin: another page asks, which it may not")
        if self._token is not None and not (scope["method"] == "GET" and scope["path"] in WITHOUT_TOKEN):
            given = headers.get(b"authorization", [b""])[0]
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                raise RequestRefusedError(401, "Authorization: is not `Bearer TOKEN` with the token", {"www-authenticate": "Bearer"})
        if not self._bucket.take():
            raise RequestRefusedError(429, f"more than {RATE:g} requests a second, try again in a second", {"retry-after": "1"})
        if self._running >= AT_ONCE:
            raise RequestRefusedError(503, f"{AT_ONCE} requests are being answered already, try again in a second", {"retry-after": "1"})
        length = headers.get(b"content-length", [b"0"])[0]
        if not length.isdigit() or int(length) > BODY_MAX:
            raise RequestRefusedError(413, f"its body is larger than {BODY_MAX} bytes")

    @staticmethod
    def _name(url: str) -> str:
        try:
            return (urlsplit(url).hostname or "").lower()
        except ValueError:
            return ""


def _measured(receive: Receive) -> Receive:
    """Return what receives a body in time and within its size."""
    end = time.monotonic() + BODY_SECONDS
    size, whole = 0, False

    async def measured() -> MutableMapping[str, Any]:
        nonlocal size, whole
        if whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
        except TimeoutError:
            raise RequestRefusedError(408, f"its body did not arrive within {BODY_SECONDS:g} s", {"connection": "close"}) from None
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > BODY_MAX:
                raise RequestRefusedError(413, f"its body is larger than {BODY_MAX} bytes", {"connection": "close"})
        return message

    return measured


async def _answer(refusal: RequestRefusedError, send: Send) -> None:
    more = [(name.encode(), value.encode()) for name, value in (refusal.headers or {}).items()]
    body = json.dumps({"error": [refusal.detail]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": refusal.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


__all__ = ["BODY_MAX", "RATE", "Bucket", "Guard"]
