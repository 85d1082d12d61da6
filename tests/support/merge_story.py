"""Steps of a merge over the API: upload a spreadsheet, wait for a state, start."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import func, select

from notifier.db.engine import Database
from notifier.db.tables import Notification, OutboxEntry, get_columns
from notifier.states import EntryKind, EntryState
from support.polling import poll_until

HEADINGS = ("E-Mail Address", "Name", "Product")
_notification, _entry = get_columns(Notification), get_columns(OutboxEntry)


def build_csv(rows: Iterable[Sequence[str]], headings: Sequence[str] = HEADINGS) -> bytes:
    """Build a CSV file of cells that need no quotation marks."""
    return "".join(",".join(row) + "\n" for row in (headings, *rows)).encode()


def build_rows(count: int) -> list[tuple[str, str, str]]:
    """Build valid rows with different addresses."""
    return [(f"ada{number}@example.com", f"Ada {number}", "Larkspur") for number in range(count)]


async def upload_file(client: httpx2.AsyncClient, data: bytes, query: str = "template=welcome") -> str:
    """Upload a CSV file; return the path of the merge."""
    reply = await client.post(f"/v1/merges?{query}", content=data, headers={"Content-Type": "text/csv"})
    assert reply.status_code == 202, reply.text
    return str(reply.headers["location"])


async def wait_for_state(client: httpx2.AsyncClient, path: str, *states: str) -> dict[str, Any]:
    """Poll until the merge has one of the states, and return it."""

    async def get_merge() -> dict[str, Any] | None:
        reply = await client.get(path)
        merge: dict[str, Any] = reply.json()
        return merge if merge["state"] in states else None

    return await poll_until(get_merge)


async def check_file(client: httpx2.AsyncClient, data: bytes, query: str = "template=welcome") -> tuple[str, Any]:
    """Upload a CSV file and wait for the end of its check; return the path and the merge."""
    path = await upload_file(client, data, query)
    return path, await wait_for_state(client, path, "checked", "failed")


async def start_merge(client: httpx2.AsyncClient, path: str, **options: Any) -> dict[str, Any]:
    """Start a merge."""
    reply = await client.post(f"{path}/start", json=options)
    assert reply.status_code == 200, reply.text
    merge: dict[str, Any] = reply.json()
    return merge


async def count_written(database: Database, path: str) -> int:
    """Count the notifications of a merge."""
    query = select(func.count()).where(_notification.batch_id == UUID(path.rpartition("/")[2]))
    async with database.read() as connection:
        return int((await connection.execute(query)).scalar_one())


async def count_queued(database: Database) -> int:
    """Count the mails in the outbox."""
    async with database.read() as connection:
        query = select(func.count()).where(_entry.kind == EntryKind.EMAIL)
        return int((await connection.execute(query)).scalar_one())


async def list_due_times(database: Database) -> list[Any]:
    """List when the mails are due that no sender holds, in order."""
    waiting = (_entry.kind == EntryKind.EMAIL, _entry.state == EntryState.READY)
    query = select(_entry.due_at).where(*waiting).order_by(_entry.due_at)
    async with database.read() as connection:
        return list((await connection.execute(query)).scalars())
