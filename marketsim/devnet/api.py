"""What a devnet answers over HTTP: `/api/v1/`, `/metrics`, a page to look at and one that lists what there is; without a network."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from marketsim import __version__
from marketsim.chain.parsing import ARGUMENTS, GOVERNANCE, SIGNERS
from marketsim.devnet.node import EVENT_KINDS, MESSAGES_MAX, PAGE, PAGE_MAX
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.words.answers import QUERIES
from marketsim.devnet.writer import Writer
from marketsim.errors import InputError
from marketsim.metrics.panels import LOWEST
from marketsim.simulation.market_messages import OPERATIONS

API = "/api/v1"
NUMBER_MAX = 1 << 53
"""The largest number that every reader of JSON keeps whole."""
LOWEST_MAX = 10_000
"""Leases that a dashboard lists at most."""
FOLLOWERS_MAX = 32
"""Who follows events at the same time."""
Blocks = Annotated[int, Field(ge=0, le=1 << 28)]
Speed = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
After = Annotated[int, Query(ge=-1, le=NUMBER_MAX, description="the `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="most records of the page")]
Id = Annotated[str | None, Query(max_length=400, description="one by its name, such as ve1…/119/1/1")]
Wallet = Annotated[str | None, Query(max_length=100, description="an address, or the name of a key")]


class Strict(BaseModel):
    """A body in which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ErrorAnswer(BaseModel):
    """What was wrong, a line each."""

    error: list[str]


class MessagesBody(Strict):
    """Messages that a key signs."""

    signer: str = Field(max_length=100, description="the name or address of the key that signs")
    secret: str = Field(max_length=200, description="the key's secret")
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MESSAGES_MAX, description="messages as docs/messages.md has them")
    dry_run: bool = Field(default=False, description="say what would be, and change nothing")
    wait: bool = Field(default=True, description="answer when the block is made; else at once, with height 0")


class AdvanceBody(Strict):
    """How far to go: `blocks` or `until`."""

    blocks: Blocks | None = None
    until: str | None = Field(default=None, max_length=400, description="a height, +N, or an event KIND[:ID]")
    limit: Blocks | None = Field(default=None, description="most blocks")


class ClockBody(Strict):
    """Speed and rest."""

    speed: Speed | Literal["max"] | None = Field(default=None, description="block time by wall time; 0: each message makes a block")
    paused: bool | None = None
    limit: Blocks | None = Field(default=None, description="speed max: so many blocks, then it rests")


class NameBody(Strict):
    """A name."""

    name: str = Field(min_length=1, max_length=64)


class RevertBody(Strict):
    """The snapshot to go back to; the last one where none is named."""

    name: str | None = Field(default=None, max_length=64)


class FaucetBody(Strict):
    """Coins for an account."""

    account: str = Field(min_length=1, max_length=100, description="the name of a key, or an address")
    amount: int = Field(ge=1, le=NUMBER_MAX, description="whole uve")


class UsageBody(Strict):
    """How leases from here on report their use."""

    mode: Literal["auto", "manual"]


Text = Annotated[str, Field(max_length=400)]
Number = Annotated[int, Field(ge=0, le=NUMBER_MAX)]


class QueryBody(Strict):
    """What a query of the real chain is asked with; what is left out is not asked for."""

    owner: Text | None = Field(default=None, description="an address, or the name of a key or wallet")
    provider: Text | None = Field(default=None, description="likewise")
    address: Text | None = Field(default=None, description="likewise, of balances and get_provider")
    state: Text | None = None
    dseq: Number | None = None
    gseq: Number | None = Field(default=None, description="0: any")
    oseq: Number | None = Field(default=None, description="0: any")
    xid: Text | None = Field(default=None, description="what the id of an escrow account begins with, scope first")
    denom: Text | None = None
    account_id: Text | None = None
    lease_id: Text | None = None
    hash: Text | None = None
    text: Text | None = Field(default=None, description="the name whose address is asked for")
    limit: Number | None = None
    offset: Number | None = None
    page_key: Text | None = None
    count_total: bool | None = None
    reverse: bool | None = None


class EmptyBody(Strict):
    """Nothing more to say."""


ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": ErrorAnswer, "description": why}
    for code, why in {
        400: "what was asked makes no sense to the devnet",
        401: "the token or the key's secret is not right",
        403: "who asks may not",
        404: "there is no such thing",
        405: "this is not asked in this way",
        408: "the body did not arrive in time",
        409: "not as things stand",
        413: "the body is too large",
        422: "a value is not what is accepted",
        429: "too many requests a second",
        503: "too many at once, or the devnet is ending",
    }.items()
}


def make_api(writer: Writer, stop: Callable[[], None]) -> FastAPI:
    """Return the app that answers for a writer's node; `stop` ends the server."""
    app = FastAPI(
        title="marketsim devnet",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        responses=ERRORS,
        description="A market that runs on a laptop as a testnet would. Amounts are decimal texts of uve, wallets are addresses.",
    )
    _answer_errors(app)
    _routes_that_look(app, writer)
    _routes_that_change(app, writer, stop)
    _routes_beside(app, writer)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(InputError)
    async def refused(_: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"error": list(error.lines)}, error.code if isinstance(error, NodeError) else 400)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()[:20]]
        return JSONResponse({"error": lines}, 422)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": [str(error.detail)]}, error.status_code, headers=error.headers)

    from starlette.exceptions import HTTPException as Lower

    @app.exception_handler(Lower)
    async def lower(_: Request, error: Lower) -> JSONResponse:
        return JSONResponse({"error": [str(error.detail)]}, error.status_code, headers=error.headers)

    @app.exception_handler(RecursionError)
    async def deep(_: Request, __: RecursionError) -> JSONResponse:
        return JSONResponse({"error": ["body: is nested too deeply"]}, 400)


def _given(**filters: Any) -> dict[str, Any]:
    return {key: value for key, value in filters.items() if value is not None}


def _routes_that_look(app: FastAPI, writer: Writer) -> None:
    node = writer.node

    @app.get(f"{API}/status")
    async def status() -> dict[str, Any]:
        """Where the devnet stands: height first."""
        writer.clock()
        return node.status()

    @app.get(f"{API}/clock")
    async def clock() -> dict[str, Any]:
        """Height, time, speed, whether it rests, how far it is behind."""
        return writer.clock()

    @app.get(f"{API}/orders")
    async def orders(
        state: Annotated[list[Literal["open", "matched", "active", "closed"]] | None, Query()] = None,
        owner: Wallet = None,
        deployment: Annotated[str | None, Query(max_length=200)] = None,
        id: Id = None,
        after: After = -1,
        limit: Limit = PAGE,
    ) -> dict[str, Any]:
        """A page of orders."""
        return node.orders(_given(state=state, owner=owner, deployment=deployment, id=id), after, limit)

    @app.get(f"{API}/bids")
    async def bids(
        state: Annotated[list[Literal["open", "active", "lost", "closed"]] | None, Query()] = None,
        provider: Wallet = None,
        order: Annotated[str | None, Query(max_length=300)] = None,
        id: Id = None,
        after: After = -1,
        limit: Limit = PAGE,
    ) -> dict[str, Any]:
        """A page of bids."""
        return node.bids(_given(state=state, provider=provider, order=order, id=id), after, limit)

    @app.get(f"{API}/leases")
    async def leases(
        state: Annotated[list[Literal["active", "insufficient_funds", "reclaiming", "closed"]] | None, Query()] = None,
        owner: Wallet = None,
        provider: Wallet = None,
        id: Id = None,
        after: After = -1,
        limit: Limit = PAGE,
    ) -> dict[str, Any]:
        """A page of leases."""
        return node.leases(_given(state=state, owner=owner, provider=provider, id=id), after, limit)

    @app.get(f"{API}/deployments")
    async def deployments(
        state: Annotated[list[Literal["active", "closed"]] | None, Query()] = None,
        owner: Wallet = None,
        id: Id = None,
        after: After = -1,
        limit: Limit = PAGE,
    ) -> dict[str, Any]:
        """A page of deployments."""
        return node.deployments(_given(state=state, owner=owner, id=id), after, limit)

    @app.get(f"{API}/escrow")
    async def escrow(
        state: Annotated[list[Literal["open", "overdrawn", "closed"]] | None, Query()] = None,
        owner: Wallet = None,
        scope: Literal["deployment", "bid", "all"] = "deployment",
        id: Id = None,
        after: After = -1,
        limit: Limit = PAGE,
    ) -> dict[str, Any]:
        """A page of escrow accounts."""
        return node.escrow(_given(state=state, owner=owner, scope=scope if id is None else None, id=id), after, limit)

    @app.get(f"{API}/providers")
    async def providers(registered: bool | None = None, id: Wallet = None, after: After = -1, limit: Limit = PAGE) -> dict[str, Any]:
        """A page of providers."""
        return node.providers(_given(registered=registered, id=id), after, limit)

    @app.get(f"{API}/wallets")
    async def wallets(id: Wallet = None, after: After = -1, limit: Limit = PAGE) -> dict[str, Any]:
        """A page of wallets."""
        return node.wallets(_given(id=id), after, limit)

    @app.get(f"{API}/dashboard")
    async def dashboard(
        provider: Wallet = None,
        lowest: Annotated[int, Query(ge=0, le=LOWEST_MAX, description="leases that are listed, those whose funds end first")] = LOWEST,
    ) -> dict[str, Any]:
        """The figures of the training document's dashboard, of one provider or of all together."""
        writer.clock()
        return node.dashboard(provider, lowest)

    @app.get(f"{API}/explain")
    async def explain(id: Annotated[str, Query(min_length=1, max_length=400, description="ve1…/119/1/1, a name")]) -> dict[str, Any]:
        """What is known of an order, a lease, a bid, a provider or a tenant, up to now."""
        return {"text": node.explain(id), "height": node.height}

    @app.get(f"{API}/messages")
    async def table() -> dict[str, Any]:
        """Every message: what it takes, and who must sign it."""
        return {"messages": signing_table()}

    @app.get(f"{API}/messages/{{hash}}")
    async def message(hash: Annotated[str, Path(max_length=64)]) -> dict[str, Any]:
        """The receipt of a message."""
        found = node.tx(hash)
        if found is None:
            raise NodeError(f"messages: {hash} is not known", 404)
        return found

    @app.post(f"{API}/chain/{{what}}")
    async def chain(what: Annotated[str, Path(max_length=40)], body: QueryBody) -> dict[str, Any]:
        """What a query of the real chain answers, with its field names, or what its command line says where it refuses."""
        if what not in QUERIES:
            raise NodeError(f"chain: {what!r} is no query, expected {', '.join(QUERIES)}", 404)
        return node.chain_answer(what, _given(**body.model_dump()))

    @app.get(f"{API}/keys")
    async def keys() -> dict[str, Any]:
        """The accounts: name and address."""
        return {"keys": [{"name": key.name, "address": key.address} for key in node.keys.values()]}

    @app.get(f"{API}/journal")
    async def journal(
        unit: Annotated[str, Query(max_length=100)] = "provider-daemon", n: Annotated[int, Query(ge=0, le=20_000)] = 100
    ) -> dict[str, Any]:
        """The last lines of a daemon."""
        return {"unit": unit, "lines": node.journal(unit, n), "height": node.height}

    @app.get(f"{API}/events/page")
    async def events_page(after: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0, limit: Limit = PAGE) -> dict[str, Any]:
        """What happened, from event number `after` on."""
        return node.events(after, limit)

    followers = 0

    @app.get(f"{API}/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
    async def events(
        request: Request,
        after: Annotated[int | None, Query(ge=0, le=NUMBER_MAX, description="from this number on; else from now on")] = None,
        until: Annotated[int | None, Query(ge=0, le=NUMBER_MAX, description="end at this number; else never")] = None,
        kind: Annotated[list[Literal[EVENT_KINDS]] | None, Query(description="of these kinds only; default: all")] = None,  # type: ignore[valid-type]
    ) -> StreamingResponse:
        """Events as they come, server-sent; `id` is what to give as `after` to go on behind one (or the header Last-Event-ID)."""
        nonlocal followers
        if followers >= FOLLOWERS_MAX:
            raise NodeError(f"events: {FOLLOWERS_MAX} follow already", 503)
        last = request.headers.get("last-event-id", "")
        start = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else after
        followers += 1

        async def stream() -> AsyncIterator[bytes]:
            nonlocal followers
            at = node.events_heard() if start is None else start
            try:
                yield b": following\n\n"
                while not (writer.stopping or writer.leaving):
                    page = node.events(at, PAGE_MAX if until is None else max(1, min(PAGE_MAX, until - at)))
                    for number, event in enumerate(page["events"], page["first"] + 1):
                        if kind and event["event"] not in kind:
                            continue
                        yield f"id: {number}\nevent: {event['event']}\ndata: {json.dumps(event)}\n\n".encode()
                    at = max(at, page["next"])
                    if until is not None and at >= until:
                        return
                    if not page["events"]:
                        await writer.changed(15.0)
                        yield b": here\n\n"
                    else:
                        await asyncio.sleep(0)
            finally:
                followers -= 1

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _routes_that_change(app: FastAPI, writer: Writer, stop: Callable[[], None]) -> None:
    node = writer.node

    @app.post(f"{API}/messages")
    async def submit(body: MessagesBody) -> dict[str, Any]:
        """Take messages into a block; a receipt each, also for those that the chain refuses."""
        key = node.key(body.signer)
        if not key.fits(body.secret):
            raise NodeError(f"secret: is not that of {body.signer}", 401)
        if body.dry_run:
            return {"receipts": await writer.call(lambda: node.submit(body.messages, key.name, dry_run=True))}
        return {"receipts": await writer.submit(body.messages, key.name, waits=body.wait)}

    @app.post(f"{API}/clock/advance")
    async def advance(body: AdvanceBody) -> dict[str, Any]:
        """Make blocks as fast as they go; answered when that is done."""
        return await writer.advance(body.blocks, body.until, body.limit)

    @app.post(f"{API}/clock")
    async def set_clock(body: ClockBody) -> dict[str, Any]:
        """Go at another speed, rest, or go on."""
        if body.speed == "max":
            if body.limit is None:
                raise NodeError("speed: max needs a limit, a number of blocks after which the devnet rests")
            return await writer.advance(body.limit, None, None, rests=True, waits=False)
        if body.limit is not None:
            raise NodeError("limit: is for speed max only")
        speed = None if body.speed is None else float(body.speed)
        await writer.call(lambda: node.set_clock(speed=speed, paused=body.paused), moves=True)
        return writer.clock()

    @app.post(f"{API}/snapshots")
    async def snapshot(body: NameBody) -> dict[str, Any]:
        """Put the devnet as it is on the stack."""
        return await writer.call(lambda: node.snapshot(body.name))

    @app.post(f"{API}/snapshots/revert")
    async def revert(body: RevertBody) -> dict[str, Any]:
        """Go back to a snapshot, the clock too."""
        return await writer.revert(body.name)

    @app.post(f"{API}/keys")
    async def add_key(body: NameBody) -> dict[str, Any]:
        """A new account: its secret is told this once."""
        key, secret = await writer.call(lambda: node.add_key(body.name))
        return {"name": key.name, "address": key.address, "secret": secret}

    @app.post(f"{API}/faucet")
    async def faucet(body: FaucetBody) -> dict[str, Any]:
        """Coins for an account."""
        message = {"op": "faucet", "wallet": body.account, "amount": body.amount}
        return (await writer.submit([message], "validator"))[0]

    @app.post(f"{API}/provider/usage")
    async def usage(body: UsageBody) -> dict[str, Any]:
        """How leases of the own provider from here on report their use."""
        return (await writer.submit([node.usage_message(body.mode)], "provider"))[0]

    @app.post(f"{API}/provider/reload")
    async def reload(body: Annotated[EmptyBody | None, Body()] = None) -> dict[str, Any]:
        """Read provider-config.yaml again."""
        return (await writer.submit([node.config_message()], "provider"))[0]

    @app.post(f"{API}/stop")
    async def end(body: Annotated[EmptyBody | None, Body()] = None) -> dict[str, Any]:
        """Let the devnet end."""
        stop()
        return {"height": node.height, "stopping": True}


def _routes_beside(app: FastAPI, writer: Writer) -> None:
    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """The series of docs/metrics.md now, as Prometheus scrapes them."""
        writer.clock()
        return Response(writer.node.metrics(), media_type="text/plain; version=1.0.0; charset=utf-8")

    page = (files("marketsim.devnet") / "page.html").read_text(encoding="utf-8")
    alone = _alone(page)

    @app.get("/", include_in_schema=False)
    async def front() -> HTMLResponse:
        return HTMLResponse(page, headers=alone)

    @app.get("/dash", include_in_schema=False)
    async def dash() -> RedirectResponse:
        return RedirectResponse("/")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        text = _page(app.openapi())
        return HTMLResponse(text, headers=_alone(text))


def _alone(page: str) -> dict[str, str]:
    """Headers with which a browser asks nothing of anybody but this devnet, and runs no script but the page's own."""

    def own(part: str) -> str:
        hashes = [hashlib.sha256(text.encode()).digest() for text in re.findall(rf"<{part}>(.*?)</{part}>", page, re.DOTALL)]
        return " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes) or "'none'"

    rules = {
        "default-src": "'none'", "script-src": own("script"), "style-src": own("style"), "img-src": "data:", "connect-src": "'self'",
        "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    policy = "; ".join(f"{name} {value}" for name, value in rules.items())
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


OR_GOVERNANCE = "whom alone it is about, or governance"


def signing_table() -> list[dict[str, Any]]:
    """Return every message with its arguments and who must sign it."""
    rows = [{"op": op, "arguments": list(ARGUMENTS[op]), "signer": SIGNERS[op]} for op in SIGNERS]
    others = {"faucet": GOVERNANCE, "send": "wallet", "fault": OR_GOVERNANCE, "repair": OR_GOVERNANCE}
    own = [{"op": op, "arguments": list(takes), "signer": others.get(op, "provider")} for op, takes in OPERATIONS.items()]
    return rows + own


def _page(openapi: Mapping[str, Any]) -> str:
    """Return the API as a page of HTML that needs nothing from anywhere."""
    parts = []
    for path, methods in openapi["paths"].items():
        for method, said in methods.items():
            asked = [f"{each['name']} ({each['in']})" for each in said.get("parameters", ())]
            body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            text = html.escape(said.get("description") or said.get("summary", ""))
            takes = html.escape(", ".join(asked) + (json.dumps(body) if body else ""))
            parts.append(f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code></td><td>{text}</td><td>{takes}</td></tr>")
    schemas = html.escape(json.dumps(openapi.get("components", {}), indent=1))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(openapi['info']['title'])}</title>"
        "<style>body{font:15px sans-serif;margin:2em}td{padding:.3em .8em;vertical-align:top;border-top:1px solid #ccc}</style>"
        f"<h1>{html.escape(openapi['info']['title'])} {html.escape(openapi['info']['version'])}</h1>"
        f"<p>{html.escape(openapi['info']['description'])} <a href='{API}/openapi.json'>openapi.json</a>,"
        " <a href='/metrics'>/metrics</a>, <a href='/'>dashboard</a></p>"
        f"<table>{''.join(parts)}</table><h2>Schemas</h2><pre>{schemas}</pre></html>"
    )


__all__ = ["make_api", "signing_table"]
