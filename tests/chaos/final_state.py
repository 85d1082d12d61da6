"""Wait for the final state of the database, and read it in the form that the oracle needs."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from chaos.oracle import Entry, Evidence, Row
from chaos.relay_log import Event
from sqlalchemy import func, select

from notifier.db.engine import Database
from notifier.db.tables import Attempt, Notification, OutboxEntry, get_columns
from notifier.outcomes import OutcomeName
from notifier.states import EntryState

LOOK = 0.1  # seconds between two polls
_attempt, _entry, _notification = get_columns(Attempt), get_columns(OutboxEntry), get_columns(Notification)
_ATTEMPTS = select(_attempt.notification_id, _attempt.sha256, _attempt.outcome, _attempt.started_at)
_ROWS = select(
    _notification.id,
    _notification.recipient,
    _notification.message_id,
    _notification.status,
    _notification.reason,
    _notification.uncertain_at,
)
_ENTRIES = select(_entry.subject_id, _entry.state)


async def settled(database: Database, seconds: float) -> bool:
    """Wait until only entries held for a person are left; return False after the timeout."""
    until = time.monotonic() + seconds
    while await _some_are(database, EntryState.READY, EntryState.LEASED):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK)
    return True


async def some_entry(database: Database, state: EntryState, seconds: float) -> None:
    """Wait until an entry is in this state."""
    async with asyncio.timeout(seconds):
        while not await _some_are(database, state):  # noqa: ASYNC110 - other processes write it
            await asyncio.sleep(LOOK)


async def some_mark(database: Database, seconds: float) -> None:
    """Wait until an entry has a mark."""
    statement = select(_entry.id).where(_entry.marked_at.is_not(None)).limit(1)
    async with asyncio.timeout(seconds):
        while True:
            async with database.read() as connection:
                if (await connection.execute(statement)).first() is not None:
                    return
            await asyncio.sleep(LOOK)


async def _some_are(database: Database, *states: EntryState) -> bool:
    """Return whether an entry is in one of these states, with a query that is cheap for a long queue."""
    statement = select(_entry.id).where(_entry.state.in_(states)).limit(1)
    async with database.read() as connection:
        return (await connection.execute(statement)).first() is not None


async def doubted(database: Database, count: int, seconds: float) -> None:
    """Wait until this many notifications are or were `unknown`."""
    statement = select(func.count()).select_from(Notification).where(_notification.uncertain_at.is_not(None))
    seen = 0
    async with asyncio.timeout(seconds):
        while seen < count:
            await asyncio.sleep(LOOK)
            async with database.read() as connection:
                seen = int((await connection.execute(statement)).scalar_one())


async def evidence(database: Database, acknowledged: Mapping[str, str], events: Sequence[Event]) -> Evidence:
    """Read everything that the oracle needs."""
    async with database.read() as connection:
        attempts = (await connection.execute(_ATTEMPTS)).all()
        rows = (await connection.execute(_ROWS)).mappings().all()
        entries = (await connection.execute(_ENTRIES)).all()
    tried = defaultdict(list)
    for attempt in attempts:
        tried[attempt.notification_id].append(attempt)
    return Evidence(
        acknowledged=acknowledged,
        events=events,
        rows=[_row(row, tried[row["id"]]) for row in rows],
        entries=[Entry(subject_id=str(entry.subject_id), state=entry.state) for entry in entries],
    )


def _row(row: Any, attempts: Sequence[Any]) -> Row:
    doubts = [attempt.started_at for attempt in attempts if attempt.outcome is OutcomeName.UNCERTAIN]
    digests = frozenset(attempt.sha256.hex() for attempt in attempts if attempt.sha256)
    fields = dict(row) | {"id": str(row["id"])}
    return Row(**fields, first_doubt=min(doubts, default=None), digests=digests)
