"""Whether a mail can leave before it expires: how much waits ahead of it, and how fast the senders work.

It looks at the queue beside the requests, never in one, and refuses nothing unless it knows: no living sender, a rate
that one of them does not know yet, a relay out of reach, a look that is old or failed mean that everything is taken.
"""

import asyncio
import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import SenderProcess, get_columns
from notifier.errors import NotifierError
from notifier.outbox import entry_store
from notifier.outbox.fair_share import MIN_PRIORITY_SHARE
from notifier.outbox.queue_sql import PRIORITIES_BY_RANK
from notifier.outbox.throughput import ThroughputEstimate
from notifier.states import EntryKind, Priority
from notifier.telemetry.logging import get_logger
from notifier.throttle.relay_state import list_relay_outages

REFRESH_SECONDS = 5.0
"""Between looks, which are only made while somebody submits."""
REFRESH_INTERVAL_FACTOR = 20.0
"""A look that takes long is repeated less often: after so many times its own duration."""
VALID_INTERVALS = 3
"""A look counts for so many times the wait until the next one."""
MIN_COUNTED, MAX_COUNTED = 10_000, 500_000
"""Due entries of one service and one priority; what is beyond is not counted, and refuses nothing."""
MAX_REFRESH_SECONDS = 1.0
"""Seconds; after a look that took longer, or failed, the next one counts half as far."""
MAX_SENDER_SILENCE = timedelta(seconds=60)
"""A sender that has not been heard of for so long does not count."""
MAX_RETRY_AFTER_SECONDS = 300
"""Seconds after which everything that an estimate rests on is new."""
_sender = get_columns(SenderProcess)
QueueKey = tuple[Priority, UUID]
"""A queue within the queue: what a service has of one priority."""


class QueueTooLongError(NotifierError):
    """The queue ahead is longer than the mail is worth sending; nothing was written."""

    def __init__(self, wait: float, left: float) -> None:
        self.retry_after = min(MAX_RETRY_AFTER_SECONDS, max(1, math.ceil(wait - left)))
        super().__init__(f"what is due before it takes about {wait:.0f} s to send, and it expires in {left:.0f} s")


def estimate_waits(waiting: Mapping[QueueKey, int], rate: float) -> dict[QueueKey, float]:
    """For how many seconds a new mail of each service and priority waits, at so many a second; who is missing: 0.

    Services share by turns: of each other service no more goes first than this one has itself. What has a higher
    priority goes first, except that every priority has its reserve.
    """
    found: dict[QueueKey, float] = {}
    above = 0
    for priority in PRIORITIES_BY_RANK:
        here = sorted((count, whose) for whose, count in waiting.items() if whose[0] is priority)
        shorter = 0  # queues, together
        for place, (count, whose) in enumerate(here):
            before = shorter + count * (len(here) - place)
            found[whose] = min(above + before, before / MIN_PRIORITY_SHARE) / rate
            shorter += count
        above += shorter
    return found


class QueueForecast:
    """Looks at the queue while mails are submitted, and says which of them would wait too long. One for each API."""

    def __init__(self, database: Database, clock: Clock, drain: ThroughputEstimate) -> None:
        self._database = database
        self._clock = clock
        self._drain = drain  # of the sender in this process; on SQLite there is no other
        self._waits: Mapping[QueueKey, float] = {}
        self._rate: float | None = None  # mails a second, while mail waits for nothing but those before it
        self._most = 10 * MIN_COUNTED
        self._seen = 0.0
        self._next_look = self._believed_until = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    def check(self, priority: Priority, service_id: UUID, expires_at: datetime, *, ahead: int = 0) -> None:
        """Raise `QueueTooLongError` if a mail submitted now would expire in the queue as it is now.

        `ahead`: mails of the same request that are sent before it, and are not in the queue yet. One that is to be
        sent later, when what is due now will have left, expires later still, and is taken.
        """
        at = self._clock.monotonic()
        if at >= self._next_look and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self.refresh())
        if self._rate is None or at > self._believed_until:
            return
        seen = self._waits.get((priority, service_id), 0.0)
        wait = max(0.0, seen - (at - self._seen)) + ahead / self._rate
        left = (expires_at - self._clock.now()).total_seconds()
        if wait > max(0.0, left):
            raise QueueTooLongError(wait, left)

    async def close(self) -> None:
        """Wait for the look that is under way."""
        if self._looking is not None:
            await asyncio.wait({self._looking})

    async def refresh(self) -> None:
        """Look at senders and queue."""
        started, found = self._clock.monotonic(), None
        try:
            async with self._database.read() as connection:
                found = await self._of(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is submitted meanwhile is taken
            get_logger().warning("queue_not_seen", error=type(error).__name__)
        (self._waits, self._rate), self._seen = found or ({}, None), self._clock.monotonic()
        took = self._seen - started
        if found is None or took > MAX_REFRESH_SECONDS:
            self._most = max(MIN_COUNTED, self._most // 2)
        elif self._waits and took < MAX_REFRESH_SECONDS / 4:
            self._most = min(MAX_COUNTED, self._most * 2)
        pause = max(REFRESH_SECONDS, REFRESH_INTERVAL_FACTOR * took)
        self._next_look, self._believed_until = self._seen + pause, self._seen + VALID_INTERVALS * pause

    async def _of(self, connection: AsyncConnection) -> tuple[dict[QueueKey, float], float | None]:
        """What is known, and the rate; nothing while mail may wait for something else than those before it."""
        rate = await self._rate_of_all(connection)
        if not rate or await list_relay_outages(connection):
            return {}, None
        return estimate_waits(await entry_store.count_due(connection, EntryKind.EMAIL, most=self._most), rate), rate

    async def _rate_of_all(self, connection: AsyncConnection) -> float | None:
        """That of all living senders together; None if there are none, or one does not know its own."""
        if self._database.is_sqlite:
            return self._drain.get_rate(self._clock.monotonic())
        recent = _sender.beat_at > func.clock_timestamp() - MAX_SENDER_SILENCE
        rates = list(await connection.scalars(select(_sender.sent_rate).where(recent)))
        return math.fsum(rates) if rates and None not in rates else None
