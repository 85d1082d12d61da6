"""SQLite locked by another program, and on a full disk."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, outcome
from sqlalchemy import make_url, select, text
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Notification, get_columns
from notifier.runtime import wiring

pytestmark = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)


@pytest.fixture
def file(installation: Installation) -> Path:
    """The database file."""
    return Path(str(make_url(installation.settings.effective_database_url).database))


async def _post(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/v1/notifications", json=WELCOME)


async def test_a_database_locked_by_another_writer_is_503(
    client: httpx2.AsyncClient, written: Written, file: Path
) -> None:
    """While another program writes: 503 within five seconds; afterwards 202, and nothing is written late."""
    with closing(sqlite3.connect(file, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(50):
            reply = await _post(client)
        assert outcome(reply) == (503, "database_unavailable")
        assert int(reply.headers["retry-after"]) >= 1
        foreign.execute("ROLLBACK")
    assert await written() == NOTHING
    assert (await _post(client)).status_code == 202
    assert await written() == (1, 1, 1)


async def test_a_full_disk_is_503_and_harms_no_acknowledged_row(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, written: Written
) -> None:
    """While SQLite cannot grow: 503, and every 202 keeps its row; with space again: 202."""
    accepted = []
    await _limit(parts, "(SELECT page_count FROM pragma_page_count())")
    for _ in range(200):
        reply = await _post(client)
        if reply.status_code != 202:
            break
        accepted.append(reply.json()["id"])
    assert outcome(reply) == (503, "database_unavailable")
    assert int(reply.headers["retry-after"]) >= 1
    assert outcome(await _post(client)) == (503, "database_unavailable")
    assert await _ids(parts) == accepted
    assert await written() == (len(accepted),) * 3
    async with parts.database.read() as connection:
        assert (await connection.execute(text("PRAGMA integrity_check"))).scalar_one() == "ok"
    await _limit(parts, "1000000")
    assert (await _post(client)).status_code == 202
    assert len(await _ids(parts)) == len(accepted) + 1


async def _limit(parts: wiring.ProcessParts, pages: str) -> None:
    """Limit the pages of the only writing connection."""
    async with parts.database.write() as connection:
        number = (await connection.execute(text(f"SELECT {pages}"))).scalar_one()
        await connection.execute(text(f"PRAGMA max_page_count = {number}"))


async def _ids(parts: wiring.ProcessParts) -> list[str]:
    table = get_columns(Notification)
    async with parts.database.read() as connection:
        return [str(id_) for id_ in await connection.scalars(select(table.id).order_by(table.id))]
