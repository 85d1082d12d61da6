"""Who is alive: a beat of one's own every few seconds, and a judgement of the others by one's own monotonic time.

The time in the beat is never compared with any clock; only whether it changes counts. So no clock that is wrong, and
no outage of the database, makes anyone look dead.
"""

import socket
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Float, bindparam, text

from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.tables import SenderProcess, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.throughput import ThroughputEstimate

BEATS_PER_TIMEOUT = 6
"""Beats in the time after which a silent process counts as dead."""
OWN_TIMEOUT_SHARE = 0.8
"""One stops writing bodies at this part of that time without a beat: before anybody else can think one dead."""
_PROCESS_ID = get_columns(SenderProcess).id.type

# Say that this process lives, and how fast it works (a row that others have deleted comes back); the others, and the
# last heard of each.
_BEAT = text("""
WITH beat AS (
  INSERT INTO sender_process (id, host, started_at, beat_at, sent_rate)
  VALUES (:id, :host, clock_timestamp(), clock_timestamp(), :rate)
  ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, sent_rate = excluded.sent_rate)
SELECT id, beat_at FROM sender_process WHERE id <> :id
""").bindparams(bindparam("id", type_=_PROCESS_ID), bindparam("rate", type_=Float))

# It is over: forget the process.
_FORGET = text("DELETE FROM sender_process WHERE id = :id").bindparams(bindparam("id", type_=_PROCESS_ID))


class Heartbeat:
    """The life of this process among the others on the same PostgreSQL. Times are its own monotonic seconds."""

    def __init__(
        self,
        database: Database,
        boot_id: UUID,
        clock: Clock,
        *,
        dead_after: float,
        drain: ThroughputEstimate | None = None,
    ) -> None:
        self.boot_id = boot_id
        self.interval = dead_after / BEATS_PER_TIMEOUT
        self._database = database
        self._clock = clock
        self._dead_after = dead_after
        self._drain = drain or ThroughputEstimate()  # what is said of it with each beat
        self._last_beat = float("-inf")  # sent, not answered: when others may have begun to count
        self._steady_since: float | None = None
        self.missed_periods = 0  # how often others may have taken this process for dead, before it was heard of again
        self._heard: dict[UUID, tuple[object, float]] = {}  # the last beat of each other, and since when it is the last

    def is_alive_to_others(self) -> bool:
        """True while nobody can take this process for dead."""
        return self._clock.monotonic() - self._last_beat < OWN_TIMEOUT_SHARE * self._dead_after

    def can_judge_others(self) -> bool:
        """True once the own beats have succeeded long enough to judge others by their silence."""
        since, now = self._steady_since, self._clock.monotonic()
        return since is not None and now - since >= self._dead_after and now - self._last_beat <= 3 * self.interval

    async def beat(self) -> list[UUID]:
        """Beat, and look at the others; those that are dead. No database, no judgement."""
        started = self._clock.monotonic()
        try:
            async with self._database.write_statement() as connection:
                rate = self._drain.get_rate(started)
                values = {"id": self.boot_id, "host": socket.gethostname()[:255], "rate": rate}
                found = (await connection.execute(_BEAT, values)).all()
        except DatabaseUnavailableError:
            self._begin_anew()
            return []
        if self._clock.monotonic() - self._last_beat > 3 * self.interval:
            # We were stopped, or this beat hung in an outage; the others may have had as little chance as we had.
            self._begin_anew()
        if started - self._last_beat >= OWN_TIMEOUT_SHARE * self._dead_after:
            self.missed_periods += 1
        self._last_beat = started
        if self._steady_since is None:
            self._steady_since = self._clock.monotonic()
        return self._judge([(row.id, row.beat_at) for row in found])

    def _begin_anew(self) -> None:
        self._steady_since = None
        self._heard.clear()

    def _judge(self, beats: Sequence[tuple[UUID, object]]) -> list[UUID]:
        now = self._clock.monotonic()
        before, self._heard = self._heard, {}
        dead = []
        for id_, beat in beats:
            last, since = before.get(id_, (None, now))
            self._heard[id_] = (beat, since if last == beat else now)
            if now - self._heard[id_][1] >= self._dead_after:
                dead.append(id_)
        return dead


async def delete_sender_process(connection: StatementConnection, boot_id: UUID) -> None:
    """Delete the row of a process that has ended."""
    await connection.execute(_FORGET, {"id": boot_id})
