"""The heartbeat of this process, and which other senders are dead.

Another sender is dead if its beat has not changed for long enough by this process's own monotonic time. The time in the
beat is never compared with a clock, so neither a wrong clock nor an outage of the database makes a sender look dead.
"""

import socket
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Float, bindparam, text

from notifier.clock import Clock
from notifier.db.direct import Connection
from notifier.db.engine import Database
from notifier.db.tables import SenderProcess, columns
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.drain import Drain

BEATS = 6
"""Beats within the time after which a silent process counts as dead."""
OWN_SHARE = 0.8
"""After this part of that time without a beat a process stops writing bodies, before others consider it dead."""
_ID = columns(SenderProcess).id.type

# Write this process's beat and throughput (a row that others have deleted comes back); return the others' last beats.
_BEAT = text("""
WITH beat AS (
  INSERT INTO sender_process (id, host, started_at, beat_at, sent_rate)
  VALUES (:id, :host, clock_timestamp(), clock_timestamp(), :rate)
  ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, sent_rate = excluded.sent_rate)
SELECT id, beat_at FROM sender_process WHERE id <> :id
""").bindparams(bindparam("id", type_=_ID), bindparam("rate", type_=Float))

# Delete the row of a process that has ended.
_FORGET = text("DELETE FROM sender_process WHERE id = :id").bindparams(bindparam("id", type_=_ID))


class Life:
    """The heartbeat of this process beside the others on the same PostgreSQL. Times are its own monotonic seconds."""

    def __init__(
        self, database: Database, boot_id: UUID, clock: Clock, *, dead_after: float, drain: Drain | None = None
    ) -> None:
        self.boot_id = boot_id
        self.pause = dead_after / BEATS
        self._database = database
        self._clock = clock
        self._dead_after = dead_after
        self._drain = drain or Drain()  # published with each beat
        self._last_beat = float("-inf")  # when the beat was sent: others may count from here
        self._steady_since: float | None = None
        self.lapses = 0  # how often others may have considered this process dead before its next beat
        self._beats: dict[
            UUID, tuple[object, float]
        ] = {}  # the last beat of each other process, and when it was first read

    def is_sure(self) -> bool:
        """Return True while no other process can consider this one dead."""
        return self._clock.monotonic() - self._last_beat < OWN_SHARE * self._dead_after

    def is_steady(self) -> bool:
        """Return True once this process has beaten long enough to judge others by their silence."""
        since, now = self._steady_since, self._clock.monotonic()
        return since is not None and now - since >= self._dead_after and now - self._last_beat <= 3 * self.pause

    async def beat(self) -> list[UUID]:
        """Write a beat, and return the processes that are dead; none while the database is away."""
        started = self._clock.monotonic()
        try:
            async with self._database.single() as connection:
                rate = self._drain.per_second(started)
                values = {"id": self.boot_id, "host": socket.gethostname()[:255], "rate": rate}
                rows = (await connection.execute(_BEAT, values)).all()
        except DatabaseUnavailableError:
            self._restart_judgement()
            return []
        if self._clock.monotonic() - self._last_beat > 3 * self.pause:
            # We were stopped, or this beat hung in an outage: the others may not have been able to beat either.
            self._restart_judgement()
        if started - self._last_beat >= OWN_SHARE * self._dead_after:
            self.lapses += 1
        self._last_beat = started
        if self._steady_since is None:
            self._steady_since = self._clock.monotonic()
        return self._find_dead([(row.id, row.beat_at) for row in rows])

    def _restart_judgement(self) -> None:
        self._steady_since = None
        self._beats.clear()

    def _find_dead(self, beats: Sequence[tuple[UUID, object]]) -> list[UUID]:
        now = self._clock.monotonic()
        before, self._beats = self._beats, {}
        for id_, beat in beats:
            last, since = before.get(id_, (None, now))
            self._beats[id_] = (beat, since if last == beat else now)
        return [id_ for id_, (_, since) in self._beats.items() if now - since >= self._dead_after]


async def forget(connection: Connection, boot_id: UUID) -> None:
    """Delete the row of a process that has ended."""
    await connection.execute(_FORGET, {"id": boot_id})
