"""A devnet that goes in the middle of its answer: the client says so, whatever it was about to say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from marketsim.devnet.client import Client
from marketsim.devnet.node_error import NodeError


@contextmanager
def answering(text: bytes) -> Iterator[str]:
    """The address of a server that answers one request with these bytes and goes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(text)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("text", "said", "status"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"height"', "the answer ends in the middle", 503),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 99\r\n\r\n", "answered 409 Conflict", 409),
        (b'HTTP/1.1 422 No\r\nContent-Length: 12\r\n\r\n{"error": "x', "answered 422 No", 422),
        (b"", "no devnet answers", 503),
    ],
)
def test_an_answer_that_breaks_off_is_an_error_of_its_own(text: bytes, said: str, status: int) -> None:
    with answering(text) as url:
        with pytest.raises(NodeError, match=said) as error:
            Client(url).status()
        assert error.value.code == status
