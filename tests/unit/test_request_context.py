"""Log lines carry the id of the request that is being served, and no other."""

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.types import Receive, Scope, Send

from notifier.telemetry import logging
from notifier.telemetry.request_observer import RequestObserver

SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"one")]}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes in this test."""
    stream = io.StringIO()
    logging.configure_logging(json=True, level="INFO", stream=stream)
    yield stream
    structlog.reset_defaults()


async def _receive() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def _send(_message: Any) -> None:
    pass


async def test_a_task_that_outlives_its_request_loses_the_id(stream: io.StringIO) -> None:
    """A background task that a request began logs with its id while the request is served, and without it later."""
    served, logged = asyncio.Event(), asyncio.Event()
    tasks = []

    async def work() -> None:
        logging.get_logger().info("during")
        logged.set()
        await served.wait()
        logging.get_logger().info("afterwards")

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        tasks.append(asyncio.create_task(work()))
        await logged.wait()

    await RequestObserver(app)(dict(SCOPE), _receive, _send)
    await asyncio.sleep(0)
    served.set()
    await tasks[0]
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("request_id")) for line in lines] == [("during", "one"), ("afterwards", None)]


async def test_what_the_server_logs_of_an_exception_has_the_id(stream: io.StringIO) -> None:
    """The server logs the exception of an application after the application has ended."""

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("hunter2")

    with pytest.raises(RuntimeError):
        await RequestObserver(app, access_log=True)(dict(SCOPE), _receive, _send)
    logging.get_logger().info("server_line")
    await asyncio.sleep(0)
    logging.get_logger().info("later")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("request_served", "one"),
        ("server_line", "one"),
        ("later", None),
    ]
    assert lines[0]["status"] == 500
