"""The forwarder: it moves rows of the producer table to Notifier's API, where each becomes one notification.

It works in three steps: claim (commit), POST, settle (commit). If it dies between two of them, the rows are claimed
again when the lease has ended, and the API recognises them by their ids.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self, TypeVar
from uuid import UUID

import httpx2
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from notifier.client.producer import row_store
from notifier.client.producer.batch_post import AcceptedRow, FailedPost, RejectedRow, RowResult, UndecidedRow, post_rows
from notifier.client.producer.row_store import TABLE, ClaimSize, RowClaim

_log = logging.getLogger("notifier.client.producer")
_Result = TypeVar("_Result")
MIN_IDLE, MAX_IDLE = 0.05, 0.5
FIRST_PAUSE = 0.25
MAX_RETRY_AFTER = 300.0
"""Seconds; a longer Retry-After is cut to this."""
FIRST_DELAY, MAX_DELAY = 1.0, 600.0
_MAX_DOUBLINGS = 30
OnAccepted = Callable[[Connection, "Sequence[Forwarded]"], None]


class UnsupportedDatabaseError(ValueError):
    """The forwarder supports PostgreSQL and SQLite only."""


@dataclass(frozen=True, kw_only=True)
class ForwarderLimits:
    """The limits of a forwarder."""

    max_rows: int = 1000  # of a request; the API accepts no more
    max_bytes: int = 14 * 1024 * 1024  # of the bodies of a request; the API accepts a request of 15 MiB
    lease: timedelta = timedelta(seconds=30)  # then another forwarder may take over; a double POST is harmless
    request: timedelta = timedelta(seconds=20)  # for one POST and its reply
    max_pause: timedelta = timedelta(seconds=30)  # between two attempts while the API is unavailable
    key_lifetime: timedelta = timedelta(days=6)  # a day less than the API's idempotency keys


@dataclass(frozen=True, kw_only=True)
class Forwarded:
    """A row that became a notification."""

    id: UUID  # of the row, returned by `enqueue`
    notification_id: UUID


@dataclass(frozen=True, kw_only=True)
class ForwardResult:
    """What one pass of the forwarder did."""

    claimed: int = 0
    accepted: int = 0
    replayed: int = 0  # of the accepted: those that the API had already
    refused: int = 0  # marked as refused or unconfirmed
    failure: str | None = None  # why the whole request, or the database, failed
    wait: float = field(default=0.0, compare=False)  # seconds until the next pass

    @property
    def is_idle(self) -> bool:
        """True if nothing was due, and nothing failed."""
        return self.claimed == self.refused == 0 and self.failure is None


class Pace:
    """The rows of the next request, and waits in seconds with jitter, so that forwarders do not act all at once."""

    def __init__(self, *, max_window: int, max_pause: float, chance: Callable[[], float]) -> None:
        self._max_window = max_window
        self._max_pause = max_pause
        self._chance = chance  # in [0, 1)
        self._idle = MIN_IDLE
        self._failures = 0
        self.window = max_window  # rows of the next request

    @property
    def is_failing(self) -> bool:
        """True if the last request failed."""
        return self._failures > 0

    def compute_idle_wait(self) -> float:
        """Compute the wait until the next check of an empty table: 50 ms, doubled each time up to 500 ms."""
        wait, self._idle = self._idle, min(MAX_IDLE, self._idle * 2)
        return self._add_jitter(wait)

    def reset_idle(self) -> None:
        """Start again with the shortest wait."""
        self._idle = MIN_IDLE

    def record_success(self) -> None:
        """Record a request that succeeded; the next may have twice as many rows."""
        self._idle, self._failures = MIN_IDLE, 0
        self.window = min(self._max_window, self.window * 2)

    def record_failure(self, retry_after: float | None = None) -> float:
        """Record a failed request, and return the wait before the next one, which has a single row.

        So an unavailable API gets one row at a time, and a row that makes every request fail is sent alone.
        """
        self.window = 1
        wait = min(self._max_pause, FIRST_PAUSE * 2.0 ** min(self._failures, _MAX_DOUBLINGS))
        self._failures += 1
        if retry_after is None:
            return self._add_jitter(wait)
        requested = min(retry_after, MAX_RETRY_AFTER)
        return max(requested, wait / 2) * (1 + self._chance() / 4)  # never earlier than requested

    def compute_row_delay(self, tries: int) -> timedelta:
        """Compute the wait of a row after this many failed requests of its own."""
        wait = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(tries - 1, _MAX_DOUBLINGS))
        return timedelta(seconds=self._add_jitter(wait))

    def _add_jitter(self, wait: float) -> float:
        return wait * (0.75 + self._chance() / 4)


class Forwarder:
    """Forwards until it is stopped: `await forwarder.run()`, or `async with forwarder:`.

    `engine` is the caller's own, synchronous or asynchronous. It uses one connection, and none during a POST.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        *,
        url: str,
        key: str,
        limits: ForwarderLimits = ForwarderLimits(),
        table: Table = TABLE,
        on_accepted: OnAccepted | None = None,
    ) -> None:
        if engine.dialect.name not in {"postgresql", "sqlite"}:
            raise UnsupportedDatabaseError(f"the forwarder supports PostgreSQL and SQLite, not {engine.dialect.name}")
        self._engine = engine
        self._limits = limits
        self._table = table
        self._on_accepted = on_accepted  # called in the transaction that deletes the rows
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx2.Timeout(limits.request.total_seconds(), connect=5.0),
        )
        self._pace = Pace(
            max_window=limits.max_rows,
            max_pause=limits.max_pause.total_seconds(),
            chance=random.SystemRandom().random,
        )
        self._stopping = False
        self._wakeup = asyncio.Event()

    async def run(self) -> None:
        """Forward until `stop`, also while the API or the database is unavailable."""
        while not self._stopping:
            await self._rest((await self.forward_once()).wait)

    def stop(self) -> None:
        """Let `run` and `drain` return after the current pass."""
        self._stopping = True
        self._wakeup.set()

    def wake(self) -> None:
        """Check the table now, after a commit. Call it in the event loop of the forwarder only."""
        self._pace.reset_idle()
        if not self._pace.is_failing:
            self._wakeup.set()

    async def drain(self) -> None:
        """Forward until nothing is due; rows that wait for a retry may remain."""
        while not self._stopping and not (turn := await self.forward_once()).is_idle:
            await self._rest(turn.wait)

    async def close(self) -> None:
        """Close the connections to the API, but not the engine."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run(), name="notifier-forwarder")
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.stop()
        try:
            await self._task
        finally:
            await self.close()

    async def forward_once(self) -> ForwardResult:
        """Claim, POST and settle once. Raises nothing but a cancellation."""
        try:
            claim = await run_in_transaction(self._engine, self._claim)
            if claim.unconfirmed:
                _log.error("unconfirmed count=%d keys_last=%s", claim.unconfirmed, self._limits.key_lifetime)
            if not claim.rows:
                return ForwardResult(refused=claim.unconfirmed, wait=self._pace.compute_idle_wait())
            result = await post_rows(self._client, claim.rows, seconds=self._limits.request.total_seconds())
            if isinstance(result, FailedPost):
                return await self._return_rows(claim, result)
            turn = await run_in_transaction(self._engine, lambda connection: self._settle(connection, claim, result))
        except Exception as error:  # noqa: BLE001 - the rows are still in the table, so the forwarder goes on
            return self._handle_error(error)
        self._log_result(turn)
        self._pace.record_success()
        return turn

    def _claim(self, connection: Connection) -> RowClaim:
        share = ClaimSize(
            max_rows=self._pace.window,
            max_bytes=self._limits.max_bytes,
            lease=self._limits.lease,
            key_lifetime=self._limits.key_lifetime,
        )
        return row_store.claim_rows(connection, share, self._table)

    def _settle(self, connection: Connection, claim: RowClaim, results: dict[UUID, RowResult]) -> ForwardResult:
        """Write the result of each row."""
        accepted = {id_: result for id_, result in results.items() if isinstance(result, AcceptedRow)}
        problems = [(id_, result.problem) for id_, result in results.items() if isinstance(result, RejectedRow)]
        undecided = [row for row in claim.rows if isinstance(results[row.id], UndecidedRow)]
        deleted = row_store.delete_rows(connection, list(accepted), self._table)
        if self._on_accepted is not None and deleted:
            forwarded = [Forwarded(id=id_, notification_id=accepted[id_].notification_id) for id_ in sorted(deleted)]
            self._on_accepted(connection, forwarded)
        refused = row_store.mark_refused(connection, claim, problems, self._table) if problems else 0
        for row in undecided:
            delay = self._pace.compute_row_delay(row.tries)
            row_store.return_rows(connection, claim, [row.id], after=delay, table=self._table)
        return ForwardResult(
            claimed=len(claim.rows),
            accepted=len(accepted),
            replayed=sum(result.replayed for result in accepted.values()),
            refused=refused,
        )

    async def _return_rows(self, claim: RowClaim, failed: FailedPost) -> ForwardResult:
        """End the lease after a request that failed as a whole, and slow down."""
        ids = [row.id for row in claim.rows]
        is_suspect = len(ids) == 1 and failed.may_be_row_fault

        def write(connection: Connection) -> None:
            if is_suspect:
                delay = self._pace.compute_row_delay(claim.rows[0].tries)
                row_store.return_rows(connection, claim, ids, after=delay, table=self._table)
            else:
                row_store.return_rows_untouched(connection, claim, ids, reached=failed.reached, table=self._table)

        wait = self._pace.record_failure(failed.retry_after)
        _log.warning("not_forwarded reason=%s count=%d wait=%.2f", failed.reason, len(ids), wait)
        with contextlib.suppress(Exception):  # otherwise the lease ends by itself
            await run_in_transaction(self._engine, write)
        return ForwardResult(claimed=len(ids), failure=failed.reason, wait=wait)

    def _handle_error(self, error: Exception) -> ForwardResult:
        reason, wait = type(error).__name__, self._pace.record_failure()
        # Log neither message nor traceback: database errors quote parameters, which contain mails.
        _log.error("forwarder_stumbled reason=%s wait=%.2f", reason, wait)
        return ForwardResult(failure=reason, wait=wait)

    def _log_result(self, turn: ForwardResult) -> None:
        if self._pace.is_failing:
            _log.info("forwarding_again")
        _log.info("forwarded accepted=%d replayed=%d of=%d", turn.accepted, turn.replayed, turn.claimed)
        if turn.refused:
            _log.warning("refused count=%d", turn.refused)

    async def _rest(self, seconds: float) -> None:
        """Wait this long, or until `wake` or `stop`."""
        if self._stopping or not seconds:
            return
        if self._pace.is_failing:
            self._wakeup.clear()  # a `wake` from before the failure does not shorten the pause
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wakeup.wait(), seconds)
        if not self._stopping:
            self._wakeup.clear()


async def run_in_transaction(engine: Engine | AsyncEngine, work: Callable[[Connection], _Result]) -> _Result:
    """Run `work` in a transaction of the caller's database."""
    if isinstance(engine, AsyncEngine):
        async with engine.begin() as connection:
            return await connection.run_sync(work)

    def transact() -> _Result:
        with engine.begin() as connection:
            return work(connection)

    return await asyncio.to_thread(transact)
