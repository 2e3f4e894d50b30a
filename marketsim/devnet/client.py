"""A devnet that runs in another process, asked over HTTP: the methods of `DevnetNode`, by the address in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

from marketsim.devnet.folder import ADDRESS_FILE, read_address, secret_of
from marketsim.devnet.node_error import NodeError
from marketsim.metrics.panels import LOWEST

API = "/api/v1"
PATIENCE_SECONDS = 600.0
"""How long an answer may take: a message waits for its block, an advance for its last one."""


class Client:
    """Methods are those of `marketsim.devnet.node.DevnetNode` and answer the same; what the devnet refuses raises NodeError.

    A signer's secret is taken from the folder's keyring unless `secrets` has it.
    """

    def __init__(
        self, url: str, *, folder: Path | None = None, devnet: str = "", token: str | None = None, secrets: Mapping[str, str] | None = None
    ) -> None:
        """Ask the devnet at `url`, such as http://127.0.0.1:8443; `devnet` is its name, below which the keyring of `folder` has secrets."""
        self.url = url.rstrip("/")
        self._folder = folder
        self._devnet = devnet
        self._token = token
        self._secrets = dict(secrets or {})
        self._open = build_opener(ProxyHandler({})).open  # no proxy stands between a laptop and itself

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return a client of the devnet that runs on a folder. Raises NodeError when none runs there."""
        found = read_address(folder)
        if found is None:
            raise NodeError(f"{folder}: no devnet runs on this folder, `marketsim devnet start --dir {folder}` starts one", 503)
        return cls(found["url"], folder=folder, devnet=found["name"], token=found.get("token"))

    # --- told ------------------------------------------------------------------------------------------------------------------------

    def submit(
        self, messages: Mapping[str, Any] | Sequence[Mapping[str, Any]], signer: str, *, dry_run: bool = False
    ) -> list[dict[str, Any]]:
        """As `DevnetNode.submit`; the answer comes when the block is made."""
        given = [messages] if isinstance(messages, Mapping) else list(messages)
        body = {"messages": given, "signer": signer, "secret": self._secret(signer), "dry_run": dry_run}
        receipts: list[dict[str, Any]] = self._post("/messages", body)["receipts"]
        return receipts

    def faucet(self, account: str, amount: int) -> dict[str, Any]:
        """As `DevnetNode.faucet`."""
        return self._post("/faucet", {"account": account, "amount": amount})

    def usage(self, mode: str) -> dict[str, Any]:
        """As `DevnetNode.usage`."""
        return self._post("/provider/usage", {"mode": mode})

    def reload_provider_config(self) -> dict[str, Any]:
        """As `DevnetNode.reload_provider_config`."""
        return self._post("/provider/reload", {})

    def advance(self, blocks: int | None = None, *, until: str | int | None = None, limit: int | None = None) -> dict[str, Any]:
        """As `DevnetNode.advance`."""
        return self._post("/clock/advance", {"blocks": blocks, "until": None if until is None else str(until), "limit": limit})

    def set_clock(self, *, speed: float | None = None, paused: bool | None = None) -> dict[str, Any]:
        """As `DevnetNode.set_clock`; return the clock."""
        return self._post("/clock", {"speed": speed, "paused": paused})

    def race(self, limit: int) -> dict[str, Any]:
        """Make so many blocks as fast as they go, and rest then; return the clock at once."""
        return self._post("/clock", {"speed": "max", "limit": limit})

    def snapshot(self, name: str) -> dict[str, Any]:
        """As `DevnetNode.snapshot`."""
        return self._post("/snapshots", {"name": name})

    def revert(self, name: str | None = None) -> dict[str, Any]:
        """As `DevnetNode.revert`."""
        return self._post("/snapshots/revert", {"name": name})

    def add_key(self, name: str) -> dict[str, Any]:
        """Return a new key: name, address and the secret, which the folder's keyring keeps where there is one."""
        return self._post("/keys", {"name": name})

    def stop(self) -> dict[str, Any]:
        """Let the devnet end."""
        return self._post("/stop", {})

    # --- asked -------------------------------------------------------------------------------------------------------------------------

    @property
    def keys(self) -> dict[str, dict[str, Any]]:
        """Accounts by name: name and address."""
        return {key["name"]: key for key in self._get("/keys")["keys"]}

    def clock(self) -> dict[str, Any]:
        """Return height, time, speed, whether it rests, how far it is behind or on its way."""
        return self._get("/clock")

    def status(self) -> dict[str, Any]:
        """As `DevnetNode.status`."""
        return self._get("/status")

    def orders(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.orders`."""
        return self._page("orders", filter, after, limit)

    def bids(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.bids`."""
        return self._page("bids", filter, after, limit)

    def leases(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.leases`."""
        return self._page("leases", filter, after, limit)

    def deployments(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.deployments`."""
        return self._page("deployments", filter, after, limit)

    def escrow(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.escrow`."""
        return self._page("escrow", filter, after, limit)

    def providers(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.providers`."""
        return self._page("providers", filter, after, limit)

    def wallets(self, filter: Mapping[str, Any] | None = None, after: int = -1, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.wallets`."""
        return self._page("wallets", filter, after, limit)

    def tx(self, hash: str) -> dict[str, Any] | None:
        """As `DevnetNode.tx`."""
        try:
            return self._get(f"/messages/{quote(hash, safe='')}")
        except NodeError as error:
            if error.code == 404:
                return None
            raise

    def chain_answer(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """As `DevnetNode.chain_answer`."""
        return self._post(f"/chain/{quote(what, safe='')}", asked)

    def name_of(self, address: str) -> str:
        """As `DevnetNode.name_of`."""
        found = self.wallets({"id": address})["wallets"]
        return str(found[0]["wallet"]) if found else address

    def events(self, after: int = 0, limit: int = 100) -> dict[str, Any]:
        """As `DevnetNode.events`."""
        return self._get(f"/events/page?{urlencode({'after': after, 'limit': limit})}")

    def follow(self, after: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield events as they come, from number `after` on; from now on where that is not said."""
        path = "/events" if after is None else f"/events?after={after}"
        with self._answer(Request(f"{self.url}{API}{path}", headers=self._headers())) as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line[len(b"data: ") :])

    def journal(self, unit: str = "provider-daemon", n: int = 100) -> list[str]:
        """As `DevnetNode.journal`."""
        lines: list[str] = self._get(f"/journal?{urlencode({'unit': unit, 'n': n})}")["lines"]
        return lines

    def metrics(self) -> bytes:
        """As `DevnetNode.metrics`."""
        with self._answer(Request(f"{self.url}/metrics", headers=self._headers())) as answer:
            found: bytes = answer.read()
        return found

    def dashboard(self, provider: str | None = None, lowest: int = LOWEST) -> dict[str, Any]:
        """As `DevnetNode.dashboard`."""
        asked = {"lowest": lowest} | ({} if provider is None else {"provider": provider})
        return self._get(f"/dashboard?{urlencode(asked)}")

    def explain(self, target: str) -> str:
        """As `DevnetNode.explain`."""
        found: str = self._get(f"/explain?{urlencode({'id': target})}")["text"]
        return found

    # --- how ---------------------------------------------------------------------------------------------------------------------------

    def _page(self, what: str, filters: Mapping[str, Any] | None, after: int, limit: int) -> dict[str, Any]:
        asked = [(key, each) for key, value in (filters or {}).items() for each in _each(value)]
        return self._get(f"/{what}?{urlencode([*asked, ('after', after), ('limit', limit)])}")

    def _secret(self, signer: str) -> str | None:
        if signer in self._secrets:
            return self._secrets[signer]
        return None if self._folder is None else secret_of(self._folder, self._devnet, signer)

    def _headers(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}

    def _get(self, path: str) -> dict[str, Any]:
        return self._json(Request(f"{self.url}{API}{path}", headers=self._headers()))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        data = json.dumps({key: value for key, value in body.items() if value is not None}).encode()
        headers = self._headers() | {"Content-Type": "application/json"}
        return self._json(Request(f"{self.url}{API}{path}", data=data, headers=headers, method="POST"))

    def _json(self, request: Request) -> dict[str, Any]:
        with self._answer(request) as answer:
            try:
                found: dict[str, Any] = json.loads(answer.read())
            except (HTTPException, OSError, ValueError) as error:
                raise NodeError(f"{self.url}: the answer ends in the middle ({error!r})", 503) from None
        return found

    def _answer(self, request: Request) -> Any:
        try:
            return self._open(request, timeout=PATIENCE_SECONDS)
        except HTTPError as error:
            try:
                lines = json.loads(error.read())["error"]
            except (HTTPException, OSError, ValueError, KeyError, TypeError):  # the devnet may have gone in the middle of its refusal
                lines = f"{self.url}: answered {error.code} {error.reason}"
            raise NodeError(lines, error.code) from None
        except (URLError, HTTPException, OSError) as error:
            where = f"; {self._folder / ADDRESS_FILE} says that it is there" if self._folder else ""
            raise NodeError(f"{self.url}: no devnet answers ({getattr(error, 'reason', error)}){where}", 503) from None


def _each(value: Any) -> list[Any]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [str(each).lower() if isinstance(each, bool) else each for each in values if each is not None]


__all__ = ["Client"]
