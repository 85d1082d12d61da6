"""The heartbeat of this process, its identity and throughput as a sender, and which other senders are dead.

Another sender is dead if its beat has not changed for long enough by this process's own monotonic time. The time in the
beat is never compared with a clock, so neither a wrong clock nor an outage of the database makes a sender look dead.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Float, bindparam, delete, text
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import SenderProcess, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.journal import Journal

WINDOW_SECONDS = 300
"""Seconds that are remembered."""
MIN_QUEUED_SECONDS = 5.0
"""An entry that was due this long before its claim has waited in a queue, not only for the next poll."""
MIN_MEASURED_SECONDS = 10
MIN_DEPARTURES = 10
"""Seconds of waiting, and departures in them, that are needed for a rate."""


class ThroughputEstimate:
    """A ring buffer of seconds. Times are monotonic seconds of this process, and never go back."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again with nothing known."""
        self._departures = [0] * WINDOW_SECONDS
        self._had_queue = bytearray(WINDOW_SECONDS)
        self._was_paused = bytearray(WINDOW_SECONDS)
        self._is_paused = False
        self._first = self._second = -1

    def record_departures(self, count: int, now: float) -> None:
        """Record entries that are finished or due again later, so that the queue is shorter by them."""
        self._advance(now)
        self._departures[self._second % WINDOW_SECONDS] += count

    def record_waiting_time(self, seconds: float, now: float) -> None:
        """Record how long a claimed entry had been due: there was a queue all the while."""
        self._advance(now)
        if seconds >= MIN_QUEUED_SECONDS:
            for second in range(max(int(now - seconds), self._get_oldest()), self._second + 1):
                self._had_queue[second % WINDOW_SECONDS] = 1

    def set_paused(self, now: float, *, is_paused: bool) -> None:
        """Record that nothing can be sent from now on, or that it can again; paused seconds do not count."""
        self._advance(now)
        self._is_paused = is_paused
        self._was_paused[self._second % WINDOW_SECONDS] = 1

    def get_rate(self, now: float) -> float | None:
        """Return the entries per second while there is a queue, or None while too little is known."""
        if self._first < 0:
            return None  # reading must not start the measurement
        self._advance(now)
        counted = [
            second % WINDOW_SECONDS
            for second in range(self._get_oldest(), self._second + 1)
            if self._had_queue[second % WINDOW_SECONDS] and not self._was_paused[second % WINDOW_SECONDS]
        ]
        departures = sum(self._departures[index] for index in counted)
        if len(counted) < MIN_MEASURED_SECONDS or departures < MIN_DEPARTURES:
            return None
        unfinished = 1.0 - now % 1.0 if self._second % WINDOW_SECONDS == counted[-1] else 0.0
        return departures / (len(counted) - unfinished)

    def _get_oldest(self) -> int:
        return max(self._first, self._second - WINDOW_SECONDS + 1)

    def _advance(self, now: float) -> None:
        """Add the seconds since the last call."""
        second = int(now)
        if self._first < 0:
            self._first, self._second = second, second - 1
        for new in range(max(self._second, second - WINDOW_SECONDS) + 1, second + 1):
            index = new % WINDOW_SECONDS
            self._departures[index], self._had_queue[index], self._was_paused[index] = 0, 0, self._is_paused
        self._second = max(self._second, second)


class DepartureCounter:
    """Counts the entries that leave this process, second by second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._count = 0
        self._last = 0

    def add(self, count: int) -> None:
        """Count entries that left at this moment."""
        self._advance()
        self._count += count

    def per_second(self) -> int:
        """Return the larger of the last second's count and this second's so far."""
        self._advance()
        return max(self._last, self._count)

    def _advance(self) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._last = self._count if second == self._second + 1 else 0
            self._second, self._count = second, 0


BEATS_PER_TIMEOUT = 10
"""Beats within the time after which a silent process counts as dead. A rescue is late by up to one of them."""
JUDGE_SILENCE_SHARE = 0.5
"""After this part of that time without a beat of its own, a process starts to judge others anew."""
OWN_TIMEOUT_SHARE = 0.8
"""After this part of that time without a beat a process stops writing bodies, before others consider it dead."""
_process = get_columns(SenderProcess)

# Write this process's beat and throughput (a row that others have deleted comes back); return the others' last beats.
_BEAT = text("""
WITH beat AS (
  INSERT INTO sender_process (id, host, started_at, beat_at, sent_rate)
  VALUES (:id, :host, clock_timestamp(), clock_timestamp(), :rate)
  ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, sent_rate = excluded.sent_rate)
SELECT id, beat_at FROM sender_process WHERE id <> :id
""").bindparams(bindparam("id", type_=_process.id.type), bindparam("rate", type_=Float))


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
        return since is not None and now - since >= self._dead_after and not self._was_silent(now)

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
        if self._was_silent(self._clock.monotonic()):
            # We were stopped, or the database was away: the others may not have been able to beat either.
            self._restart_judgement()
        if started - self._last_beat >= OWN_TIMEOUT_SHARE * self._dead_after:
            self.missed_periods += 1
        self._last_beat = started
        if self._steady_since is None:
            self._steady_since = self._clock.monotonic()
        return self._find_dead([(row.id, row.beat_at) for row in rows])

    def _was_silent(self, now: float) -> bool:
        return now - self._last_beat > JUDGE_SILENCE_SHARE * self._dead_after

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


async def delete_sender_process(connection: AsyncConnection, boot_id: UUID) -> None:
    """Delete the row of a process that has ended."""
    await connection.execute(delete(SenderProcess).where(_process.id == boot_id))
