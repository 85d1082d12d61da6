"""The heartbeat of this process, its identity as a sender, and which other senders are dead.

Another sender is dead if its beat has not changed for long enough by this process's own monotonic time. The time in the
beat is never compared with a clock, so neither a wrong clock nor an outage of the database makes a sender look dead.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Float, bindparam, text

from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.tables import SenderProcess, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.journal import Journal
from notifier.outbox.throughput import ThroughputEstimate

BEATS_PER_TIMEOUT = 6
"""Beats within the time after which a silent process counts as dead."""
OWN_TIMEOUT_SHARE = 0.8
"""After this part of that time without a beat a process stops writing bodies, before others consider it dead."""
_PROCESS_ID = get_columns(SenderProcess).id.type

# Write this process's beat and throughput (a row that others have deleted comes back); return the others' last beats.
_BEAT = text("""
WITH beat AS (
  INSERT INTO sender_process (id, host, started_at, beat_at, sent_rate)
  VALUES (:id, :host, clock_timestamp(), clock_timestamp(), :rate)
  ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, sent_rate = excluded.sent_rate)
SELECT id, beat_at FROM sender_process WHERE id <> :id
""").bindparams(bindparam("id", type_=_PROCESS_ID), bindparam("rate", type_=Float))

# Delete the row of a process that has ended.
_FORGET = text("DELETE FROM sender_process WHERE id = :id").bindparams(bindparam("id", type_=_PROCESS_ID))


class Heartbeat:
    """The heartbeat of this process beside the others on the same PostgreSQL. Times are its own monotonic seconds."""

    def __init__(
        self,
        database: Database,
        boot_id: UUID,
        clock: Clock,
        *,
        dead_after: float,
        throughput: ThroughputEstimate | None = None,
    ) -> None:
        self.boot_id = boot_id
        self.interval = dead_after / BEATS_PER_TIMEOUT
        self._database = database
        self._clock = clock
        self._dead_after = dead_after
        self._throughput = throughput or ThroughputEstimate()  # published with each beat
        self._last_beat = float("-inf")  # when the beat was sent: others may count from here
        self._steady_since: float | None = None
        self.missed_periods = 0  # how often others may have considered this process dead before its next beat
        self._beats: dict[UUID, tuple[object, float]] = {}  # of each other process: its last beat, and since when

    def is_alive_to_others(self) -> bool:
        """Return True while no other process can consider this one dead."""
        return self._clock.monotonic() - self._last_beat < OWN_TIMEOUT_SHARE * self._dead_after

    def can_judge_others(self) -> bool:
        """Return True once this process has beaten long enough to judge others by their silence."""
        since, now = self._steady_since, self._clock.monotonic()
        return since is not None and now - since >= self._dead_after and now - self._last_beat <= 3 * self.interval

    async def beat(self) -> list[UUID]:
        """Write a beat, and return the processes that are dead; none while the database is away."""
        started = self._clock.monotonic()
        try:
            async with self._database.write_statement() as connection:
                rate = self._throughput.get_rate(started)
                values = {"id": self.boot_id, "host": socket.gethostname()[:255], "rate": rate}
                rows = (await connection.execute(_BEAT, values)).all()
        except DatabaseUnavailableError:
            self._restart_judgement()
            return []
        if self._clock.monotonic() - self._last_beat > 3 * self.interval:
            # We were stopped, or this beat hung in an outage: the others may not have been able to beat either.
            self._restart_judgement()
        if started - self._last_beat >= OWN_TIMEOUT_SHARE * self._dead_after:
            self.missed_periods += 1
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


@dataclass(frozen=True, kw_only=True)
class SenderIdentity:
    """A process that claims entries, from its start to its end."""

    boot_id: UUID  # new at every start
    journal: Journal
    heartbeat: Heartbeat | None  # None on SQLite: there is no other process that could consider this one dead
    throughput: ThroughputEstimate = field(default_factory=ThroughputEstimate)  # of the leading handler

    @property
    def missed_periods(self) -> int:
        """How often others may have considered this process dead. Permits from before the last time are void."""
        return 0 if self.heartbeat is None else self.heartbeat.missed_periods

    def may_continue(self, missed_periods: int) -> bool:
        """Return True while nobody can have taken over this process's work since `missed_periods` was read."""
        return self.heartbeat is None or (
            self.heartbeat.is_alive_to_others() and self.heartbeat.missed_periods == missed_periods
        )


async def delete_sender_process(connection: StatementConnection, boot_id: UUID) -> None:
    """Delete the row of a process that has ended."""
    await connection.execute(_FORGET, {"id": boot_id})
