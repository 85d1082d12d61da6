"""The queue forecast: whether a mail can leave before it expires, by the queue before it and the senders' throughput.

It reads the queue in a task of its own, never in a request. Everything is accepted while the forecast is unknown: if
no sender is alive, a sender's throughput is unknown, a relay is down, or the last reading is old or has failed.
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
from notifier.outbox import queue_counts
from notifier.outbox.claimer import MIN_PRIORITY_SHARE
from notifier.outbox.heartbeat import ThroughputEstimate
from notifier.outbox.queue_sql import PRIORITIES_BY_RANK
from notifier.states import EntryKind, Priority
from notifier.telemetry.logging import get_logger
from notifier.throttle.relay_state import list_relay_outages

REFRESH_SECONDS = 5.0
"""Between readings, which are only made while mails are submitted."""
REFRESH_INTERVAL_FACTOR = 20.0
"""A slow reading is repeated less often: after this many times its own duration."""
VALID_INTERVALS = 3
"""A reading is valid for this many times the wait until the next one."""
MIN_COUNTED, MAX_COUNTED = 10_000, 500_000
"""Limits of the count of due entries of one service and priority; more are not counted, and refuse nothing."""
MAX_REFRESH_SECONDS = 1.0
"""After a reading that took longer (in seconds) or failed, the next one counts half as many."""
MAX_SENDER_SILENCE = timedelta(seconds=60)
"""A sender without a beat for this long does not count."""
MAX_RETRY_AFTER_SECONDS = 300
"""The longest `Retry-After` in seconds: the forecast is made anew in that time."""
_sender = get_columns(SenderProcess)
QueueKey = tuple[Priority, UUID]
"""One service's part of the queue in one priority."""


class QueueTooLongError(NotifierError):
    """The mail would expire before the senders reach it; nothing was written."""

    def __init__(self, wait: float, lifetime: float) -> None:
        self.retry_after = min(MAX_RETRY_AFTER_SECONDS, max(1, math.ceil(wait - lifetime)))
        super().__init__(f"the mails due before it take about {wait:.0f} s to send, and it expires in {lifetime:.0f} s")


def estimate_waits(waiting: Mapping[QueueKey, int], rate: float) -> dict[QueueKey, float]:
    """Estimate the seconds that a new mail of each service and priority waits at `rate` mails a second; absent keys: 0.

    Services share by turns: of each other service no more goes first than this one has itself. Higher priorities go
    first, except that every priority has its reserve.
    """
    estimates: dict[QueueKey, float] = {}
    above = 0  # entries of higher priorities
    for priority in PRIORITIES_BY_RANK:
        queues = sorted((count, key) for key, count in waiting.items() if key[0] is priority)
        shorter = 0  # entries of the shorter queues together
        for index, (count, key) in enumerate(queues):
            before = shorter + count * (len(queues) - index)
            estimates[key] = min(above + before, before / MIN_PRIORITY_SHARE) / rate
            shorter += count
        above += shorter
    return estimates


class QueueForecast:
    """Reads the queue while mails are submitted, and refuses those that would wait too long. One for each API."""

    def __init__(self, database: Database, clock: Clock, throughput: ThroughputEstimate) -> None:
        self._database = database
        self._clock = clock
        self._throughput = throughput  # of the sender in this process; on SQLite there is no other
        self._waits: Mapping[QueueKey, float] = {}
        self._rate: float | None = None  # mails a second, while mail waits only for those before it
        self._max_count = 10 * MIN_COUNTED
        self._read_at = 0.0
        self._next_reading = self._valid_until = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None

    def check(self, priority: Priority, service_id: UUID, expires_at: datetime, *, ahead: int = 0) -> None:
        """Raise `QueueTooLongError` if a mail submitted now would expire in the queue as it is now.

        `ahead` counts the mails of the same request that are sent before it and are not in the queue yet. A mail with
        a later `send_at` expires later still, when what is due now will have left, and is accepted.
        """
        now = self._clock.monotonic()
        if now >= self._next_reading and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self.refresh())
        if self._rate is None or now > self._valid_until:
            return
        estimate = self._waits.get((priority, service_id), 0.0)
        wait = max(0.0, estimate - (now - self._read_at)) + ahead / self._rate
        lifetime = (expires_at - self._clock.now()).total_seconds()
        if wait > max(0.0, lifetime):
            raise QueueTooLongError(wait, lifetime)

    async def close(self) -> None:
        """Wait for a running reading."""
        if self._refreshing is not None:
            await asyncio.wait({self._refreshing})

    async def refresh(self) -> None:
        """Read the senders and the queue."""
        started, reading = self._clock.monotonic(), None
        try:
            async with self._database.read() as connection:
                reading = await self._read(connection)
        except Exception as error:  # noqa: BLE001 - after any error everything is accepted until the next reading
            get_logger().warning("queue_not_seen", error=type(error).__name__)
        (self._waits, self._rate), self._read_at = reading or ({}, None), self._clock.monotonic()
        duration = self._read_at - started
        if reading is None or duration > MAX_REFRESH_SECONDS:
            self._max_count = max(MIN_COUNTED, self._max_count // 2)
        elif self._waits and duration < MAX_REFRESH_SECONDS / 4:
            self._max_count = min(MAX_COUNTED, self._max_count * 2)
        pause = max(REFRESH_SECONDS, REFRESH_INTERVAL_FACTOR * duration)
        self._next_reading, self._valid_until = self._read_at + pause, self._read_at + VALID_INTERVALS * pause

    async def _read(self, connection: AsyncConnection) -> tuple[dict[QueueKey, float], float | None]:
        """Return the estimates and the throughput; nothing while mail may wait for something else than the queue."""
        rate = await self._read_throughput(connection)
        if not rate or await list_relay_outages(connection):
            return {}, None
        return estimate_waits(
            await queue_counts.count_due(connection, EntryKind.EMAIL, most=self._max_count), rate
        ), rate

    async def _read_throughput(self, connection: AsyncConnection) -> float | None:
        """Return the throughput of all living senders, or None if there is none or one does not know its own."""
        if self._database.is_sqlite:
            return self._throughput.get_rate(self._clock.monotonic())
        recent = _sender.beat_at > func.clock_timestamp() - MAX_SENDER_SILENCE
        rates = list(await connection.scalars(select(_sender.sent_rate).where(recent)))
        return math.fsum(rates) if rates and None not in rates else None
