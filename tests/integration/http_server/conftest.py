"""Runs the tests on both event loops, because their transports report connections and writes at different times."""

import asyncio
from collections.abc import Callable

import uvloop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The standard library's event loop, and the one that the commands use."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
