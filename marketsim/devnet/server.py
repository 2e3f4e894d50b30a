"""Serves a devnet: one process, one event loop, one writer; it answers on an address until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from marketsim.devnet.api import make_api
from marketsim.devnet.folder import ADDRESS_FILE, write_address
from marketsim.devnet.guard import Guard
from marketsim.devnet.listening import LOOPBACK
from marketsim.devnet.node import DevnetNode
from marketsim.devnet.writer import Writer

HEAD_SECONDS = 10.0
"""How long a connection may take until a request's head is there."""
CONNECTIONS_MAX = 512


class PunctualProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, with an end to connections that say nothing, or say it too slowly."""

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._patience.cancel()
        elif self._patience.cancelled():
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._patience.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)


def serve(node: DevnetNode, sock: socket.socket, *, token: str | None, limit: int | None, ready: Callable[[str], None]) -> None:
    """Answer for a node until it is told to stop (by a request or a signal), then close it. `limit` makes so many blocks as fast as they
    go and rests; `ready(url)` is called when the devnet answers."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    asyncio.run(_serve(node, sock, url, token, limit, ready))


async def _serve(
    node: DevnetNode, sock: socket.socket, url: str, token: str | None, limit: int | None, ready: Callable[[str], None]
) -> None:
    writer = Writer(node)
    server: EndedBySignals

    def stop() -> None:
        server.end()

    host = sock.getsockname()[0]
    hosts = LOOPBACK | {host} if host not in ("0.0.0.0", "::") else LOOPBACK | _own_names()
    app = Guard(make_api(writer, stop), hosts=frozenset(hosts), token=token)
    config = uvicorn.Config(
        app,
        http=PunctualProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = EndedBySignals(config, writer.dismiss)
    write_address(node.folder, {"url": url, "name": node.name, "pid": os.getpid()} | ({"token": token} if token else {}))
    writing = asyncio.create_task(writer.run())
    writing.add_done_callback(lambda _: stop())
    answering = asyncio.create_task(server.serve([sock]))
    while not server.started and not answering.done():
        await asyncio.sleep(0.01)
    if server.started:
        ready(url)
    if limit is not None:
        await writer.advance(limit, None, None, rests=True, waits=False)
    try:
        await answering
    finally:
        writer.stop()
        await asyncio.gather(writing, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            (node.folder / ADDRESS_FILE).unlink()
        node.close()
    if (error := writing.exception()) is not None:
        raise error


class EndedBySignals(uvicorn.Server):
    """A server that Ctrl-C and SIGTERM end as a request does: they have done then what they should, and are given to nobody else."""

    def __init__(self, config: uvicorn.Config, dismiss: Callable[[], None]) -> None:
        """`dismiss` lets go whoever would be answered for ever."""
        super().__init__(config)
        self._dismiss = dismiss

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals over while the server answers."""
        loop = asyncio.get_running_loop()
        taken = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        before = {number: signal.getsignal(number) for number in taken}
        for number in taken:
            loop.add_signal_handler(number, self.end)
        yield
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    def end(self) -> None:
        """Answer what was asked and no more."""
        self.should_exit = True
        self._dismiss()


def _own_names() -> set[str]:
    names = {socket.gethostname().lower(), socket.getfqdn().lower()}
    with contextlib.suppress(OSError):
        names |= {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)}
    return names


__all__ = ["serve"]
