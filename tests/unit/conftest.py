"""The unit tier: no sockets to anybody, no database."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest


class SocketInUnitTestError(AssertionError):
    """A unit test tried to talk to somebody."""


@pytest.fixture(autouse=True)
def no_connections() -> Iterator[None]:
    """Refuse to connect anywhere; socket pairs, on which event loops wake, stay possible."""
    original = socket.socket.connect

    def refuse(_self: socket.socket, address: Any) -> None:
        raise SocketInUnitTestError(address)

    socket.socket.connect = refuse  # type: ignore[method-assign, assignment]
    yield
    socket.socket.connect = original  # type: ignore[method-assign]
