"""Both event loops: when a connection counts as made, and a reply as taken, hangs on how a transport works."""

import asyncio
from collections.abc import Callable

import uvloop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of the standard library, and the one that the commands use."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
