"""Callers that disconnect, over real sockets: a complete request is accepted once, and the retry is a replay."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from integration.api.foreign_transaction import open_foreign_transaction
from sqlalchemy import func, select
from support.polling import poll_until
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Notification
from notifier.runtime import wiring

HOST = "127.0.0.1"
KEY = "order-4711"


@asynccontextmanager
async def _served(parts: wiring.ProcessParts) -> AsyncIterator[int]:
    """Serve an API over these parts, and yield its port."""
    listener = wiring.open_listener(HOST, 0)
    port = listener.getsockname()[1]
    async with wiring.serve_http(wiring.build_api(parts), listener):
        yield port


def _request(installation: Installation, body: dict[str, Any], key: str | None = KEY) -> bytes:
    """A POST as it stands on the wire."""
    content = json.dumps(body).encode()
    lines = [
        "POST /v1/notifications HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: Bearer {installation.keys.shop}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
    ]
    if key is not None:
        lines.append(f"Idempotency-Key: {key}")
    return "\r\n".join([*lines, "", ""]).encode() + content


def _get(installation: Installation, path: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: Bearer {installation.keys.shop}",
        "Connection: close",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


async def _send(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(data)
    await writer.drain()
    return reader, writer


async def _ask(port: int, data: bytes) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send a request, and return status, headers and body of the reply."""
    reader, writer = await _send(port, data)
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    status, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, json.loads(body)


async def _count(parts: wiring.ProcessParts) -> int:
    async with parts.database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(Notification)) or 0)


async def _until_written(parts: wiring.ProcessParts) -> None:
    """Wait until there is a row, by asking the database."""
    await poll_until(lambda: _count(parts))


async def test_a_caller_that_hangs_up_after_the_commit_is_accepted_once(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """The caller disconnects before it reads the reply; the retry with the key gets the row's id."""
    async with _served(parts) as port:
        _, writer = await _send(port, _request(installation, WELCOME))
        await _until_written(parts)
        writer.transport.abort()
        status, headers, body = await _ask(port, _request(installation, WELCOME))
        answer = await _ask(port, _get(installation, headers["location"]))
    assert (status, headers.get("idempotent-replayed")) == (202, "true")
    assert (answer[0], answer[2]["id"]) == (200, body["id"])
    assert await _count(parts) == 1


async def test_a_caller_that_resets_while_the_row_is_written_is_accepted_once(
    postgres_installation: Installation,
) -> None:
    """A reset during the insert does not stop the commit, and the retry adds no row."""
    installation = postgres_installation
    async with installation.open_parts() as parts, _served(parts) as port:
        async with open_foreign_transaction(installation.settings) as holder:
            await holder.execute("LOCK TABLE outbox_entry IN EXCLUSIVE MODE")
            _, writer = await _send(port, _request(installation, WELCOME))
            await holder.wait_for_waiters()
            writer.transport.abort()
            await holder.release()
        await _until_written(parts)
        status, headers, _ = await _ask(port, _request(installation, WELCOME))
        assert (status, headers.get("idempotent-replayed")) == (202, "true")
        assert await _count(parts) == 1


async def test_callers_that_hang_up_at_any_moment_and_retry_leave_one_row_each(
    installation: Installation, parts: wiring.ProcessParts, logged: io.StringIO
) -> None:
    """Thirty callers disconnect at random moments and retry; there are thirty rows."""
    keys = [f"order-{n}" for n in range(30)]
    async with _served(parts) as port:
        for number, key in enumerate(keys):
            _, writer = await _send(port, _request(installation, WELCOME, key))
            for _ in range(number):
                await asyncio.sleep(0)  # a few more turns of the loop, in which the server gets a little further
            writer.transport.abort()
        replies = await asyncio.gather(*(_ask(port, _request(installation, WELCOME, key)) for key in keys))
    assert {status for status, _, _ in replies} == {202}
    assert len({body["id"] for _, _, body in replies}) == len(keys) == await _count(parts)
    assert logged.getvalue() == ""


async def test_a_caller_that_hangs_up_within_the_request_leaves_nothing(
    installation: Installation, parts: wiring.ProcessParts, logged: io.StringIO
) -> None:
    """An incomplete body writes nothing and logs no error."""
    async with _served(parts) as port:
        for cut in (1, 60, 200):
            reader, writer = await _send(port, _request(installation, WELCOME)[:-cut])
            writer.write_eof()
            await reader.read()
            writer.close()
        status, headers, _ = await _ask(port, _request(installation, WELCOME))
    assert (status, headers.get("idempotent-replayed")) == (202, None)
    assert await _count(parts) == 1
    assert logged.getvalue() == ""


async def test_a_request_over_the_limit_is_told_so_over_a_socket(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """A Content-Length over 15 MiB gets a 413 problem before the body is sent."""
    request = _request(installation, WELCOME)
    length = f"Content-Length: {len(json.dumps(WELCOME))}".encode()
    head = request.partition(b"\r\n\r\n")[0].replace(length, b"Content-Length: 16777216") + b"\r\n\r\n"
    async with _served(parts) as port:
        status, headers, body = await _ask(port, head)
    assert (status, headers["content-type"], body["code"]) == (413, "application/problem+json", "request_too_large")
