"""The forwarder: it moves rows of the producer table to Notifier's API, where each becomes one notification.

A turn is three steps: claim (committed), POST, settle (committed). It may die between any two; the rows are then
claimed again when the lease is over, and the API recognises them by their ids.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

import httpx2
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from notifier.client.producer import row_store
from notifier.client.producer.batch_post import (
    AcceptedRow,
    Blame,
    FailedPost,
    Poster,
    RejectedRow,
    RowResult,
    UndecidedRow,
)
from notifier.client.producer.pacing import Pace
from notifier.client.producer.row_store import ClaimSize, RowClaim
from notifier.client.producer.row_table import TABLE

_log = logging.getLogger("notifier.client.producer")
_ENGINES = ("postgresql", "sqlite")
_Result = TypeVar("_Result")
OnAccepted = Callable[[Connection, "Sequence[Forwarded]"], None]


class UnsupportedDatabaseError(ValueError):
    """The forwarder speaks to PostgreSQL and SQLite only."""


@dataclass(frozen=True, kw_only=True)
class ForwarderLimits:
    """How much at once, and how long."""

    max_rows: int = 1000  # of a request; the API takes no more
    max_bytes: int = 14 * 1024 * 1024  # of a request's bodies; the API takes 15 MiB with all around them
    lease: timedelta = timedelta(seconds=30)  # after which another forwarder may take over; a double POST is harmless
    request: timedelta = timedelta(seconds=20)  # for one POST and its answer
    max_pause: timedelta = timedelta(seconds=30)  # between two tries while the API is away
    key_lifetime: timedelta = timedelta(days=6)  # a day less than the API's idempotency keys


@dataclass(frozen=True, kw_only=True)
class Forwarded:
    """A row that has become a notification."""

    id: UUID  # of the row, as `enqueue` returned it
    notification_id: UUID


@dataclass(frozen=True, kw_only=True)
class ForwardResult:
    """What one turn did."""

    claimed: int = 0
    accepted: int = 0
    replayed: int = 0  # of the accepted: the API had them already
    refused: int = 0  # marked; those that nobody dares to repeat included
    failure: str | None = None  # why the request, or the database, failed as a whole
    wait: float = field(default=0.0, compare=False)  # seconds until the next turn

    @property
    def is_idle(self) -> bool:
        """Nothing was due, and that is sure."""
        return self.claimed == self.refused == 0 and self.failure is None


class Forwarder:
    """Forwards until it is stopped: `await forwarder.run()`, or `async with forwarder:` around what needs it.

    `engine` is the caller's own, synchronous or asynchronous; one connection at a time is used, and none during a POST.
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
        if engine.dialect.name not in _ENGINES:
            raise UnsupportedDatabaseError(f"no forwarder for {engine.dialect.name}: only for {' and '.join(_ENGINES)}")
        self._engine = engine
        self._limits = limits
        self._table = table
        self._on_accepted = on_accepted  # called in the transaction that deletes the rows
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx2.Timeout(limits.request.total_seconds(), connect=5.0),
        )
        self._poster = Poster(self._client, seconds=limits.request.total_seconds())
        self._pace = Pace(
            most=limits.max_rows, longest_pause=limits.max_pause.total_seconds(), chance=random.SystemRandom().random
        )
        self._stopping = False
        self._called = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Forward until `stop`; neither an API nor a database that is away ends it."""
        while not self._stopping:
            turn = await self.forward_once()
            if turn.wait:
                await self._rest(turn.wait)

    def stop(self) -> None:
        """Let `run` and `drain` return when the turn under way is over."""
        self._stopping = True
        self._called.set()

    def wake(self) -> None:
        """Look at the table now: something was committed. From the forwarder's own event loop only."""
        self._pace.reset_idle()
        if not self._pace.is_failing:
            self._called.set()

    async def drain(self) -> None:
        """Forward until nothing is due; what the API is to be asked about again later may be left."""
        while not self._stopping and not (turn := await self.forward_once()).is_idle:
            await self._rest(turn.wait)

    async def close(self) -> None:
        """Close the connections to the API; the engine is the caller's."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run(), name="notifier-forwarder")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        try:
            if self._task is not None:
                await self._task
        finally:
            await self.close()

    async def forward_once(self) -> ForwardResult:
        """Claim, POST, settle: once, for as many rows as the last answers encourage. Raises only a cancellation."""
        try:
            claim = await self._in_database(self._claim)
            if claim.unconfirmed:
                _log.error("unconfirmed count=%d keys_last=%s", claim.unconfirmed, self._limits.key_lifetime)
            if not claim.rows:
                wait = self._pace.compute_idle_wait()
                return ForwardResult(refused=claim.unconfirmed, wait=wait)
            answer = await self._poster.post(claim.rows)
            if isinstance(answer, FailedPost):
                return await self._give_back(claim, answer)
            turn = await self._in_database(lambda connection: self._settle(connection, claim, answer))
        except Exception as error:  # noqa: BLE001 - whatever it was, the rows are there, and so must be the forwarder
            return self._stumbled(error)
        self._tell(turn)
        self._pace.record_success()
        return turn

    def _claim(self, connection: Connection) -> RowClaim:
        limits = self._limits
        share = ClaimSize(
            max_rows=min(self._pace.window, limits.max_rows),
            max_bytes=limits.max_bytes,
            lease=limits.lease,
            key_lifetime=limits.key_lifetime,
        )
        return row_store.claim_rows(connection, share, self._table)

    def _settle(self, connection: Connection, claim: RowClaim, verdicts: dict[UUID, RowResult]) -> ForwardResult:
        """Write down what the API has said about each row."""
        accepted = {id_: one for id_, one in verdicts.items() if isinstance(one, AcceptedRow)}
        problems = [(id_, one.problem) for id_, one in verdicts.items() if isinstance(one, RejectedRow)]
        later = [row for row in claim.rows if isinstance(verdicts[row.id], UndecidedRow)]
        gone = row_store.delete_rows(connection, list(accepted), self._table)
        if self._on_accepted is not None and gone:
            done = [Forwarded(id=id_, notification_id=accepted[id_].notification_id) for id_ in sorted(gone)]
            self._on_accepted(connection, done)
        refused = row_store.mark_refused(connection, claim, problems, self._table) if problems else 0
        for row in later:
            delay = self._pace.compute_row_delay(row.tries)
            row_store.return_rows(connection, claim, [row.id], after=delay, table=self._table)
        return ForwardResult(
            claimed=len(claim.rows),
            accepted=len(accepted),
            replayed=sum(one.replayed for one in accepted.values()),
            refused=refused,
        )

    async def _give_back(self, claim: RowClaim, failed: FailedPost) -> ForwardResult:
        """The request failed as a whole: end the lease, and go slower."""
        ids = [row.id for row in claim.rows]
        alone = len(ids) == 1 and failed.blame is Blame.ANY

        def write(connection: Connection) -> None:
            if alone:
                delay = self._pace.compute_row_delay(claim.rows[0].tries)
                row_store.return_rows(connection, claim, ids, after=delay, table=self._table)
            else:
                row_store.return_rows_untouched(connection, claim, ids, reached=failed.reached, table=self._table)

        wait = self._pace.record_failure(failed.retry_after)
        _log.warning("not_forwarded reason=%s count=%d wait=%.2f", failed.reason, len(ids), wait)
        with contextlib.suppress(Exception):  # the lease ends by itself
            await self._in_database(write)
        return ForwardResult(claimed=len(ids), failure=failed.reason, wait=wait)

    def _stumbled(self, error: Exception) -> ForwardResult:
        reason, wait = type(error).__name__, self._pace.record_failure()
        # Neither message nor traceback: a database's errors quote parameters, and those are mails.
        _log.error("forwarder_stumbled reason=%s wait=%.2f", reason, wait)
        return ForwardResult(failure=reason, wait=wait)

    def _tell(self, turn: ForwardResult) -> None:
        if self._pace.is_failing:
            _log.info("forwarding_again")
        _log.info("forwarded accepted=%d replayed=%d of=%d", turn.accepted, turn.replayed, turn.claimed)
        if turn.refused:
            _log.warning("refused count=%d", turn.refused)

    async def _in_database(self, work: Callable[[Connection], _Result]) -> _Result:
        """Run `work` in a transaction of the caller's database."""
        if isinstance(self._engine, AsyncEngine):
            async with self._engine.begin() as connection:
                return await connection.run_sync(work)
        return await asyncio.to_thread(_transact, self._engine, work)

    async def _rest(self, seconds: float) -> None:
        """Wait, or until somebody calls."""
        if self._stopping or not seconds:
            return
        if self._pace.is_failing:
            self._called.clear()  # called before it failed: that does not shorten the pause
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._called.wait(), seconds)
        if not self._stopping:
            self._called.clear()


def _transact(engine: Engine, work: Callable[[Connection], _Result]) -> _Result:
    with engine.begin() as connection:
        return work(connection)
