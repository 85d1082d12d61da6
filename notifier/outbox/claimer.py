"""Claiming for one process: sweep the queue for services with work now and then, and lease their oldest entries.

A claim costs the same whatever lies in the queue. A service that is new to this process is served within a second. An
entry that was leased by a claim whose reply was lost is released.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from notifier.clock import Clock
from notifier.db.dialect import DialectStatement, bind_now, is_sqlite
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.table_base import format_sqlite_time
from notifier.outbox import claim_sql, fair_share
from notifier.outbox.entry_handler import ClaimedEntry, Handler
from notifier.outbox.fair_share import ClaimShare, FairShare, ServiceBacklog
from notifier.outbox.heartbeat import SenderIdentity
from notifier.outbox.queue_sql import PRIORITIES_BY_RANK
from notifier.states import EntryKind, Priority
from notifier.telemetry import metrics

SWEEP_SECONDS = 0.5
"""Between sweeps of the whole queue while there is work: how soon a service that is new here is noticed."""
SWEEP_INTERVAL_FACTOR = 20.0
"""A slow sweep is repeated less often: after this many times its own duration."""


@dataclass(frozen=True, kw_only=True)
class ClaimRequest:
    """One request for work."""

    kind: EntryKind
    holder: UUID  # this process's boot id
    lease: timedelta
    started: float  # monotonic seconds before the claim was sent; the lease is counted from here
    shares: Sequence[ClaimShare] = ()
    capacity: int = 1  # entries in all
    reserve: int = 1  # entries of each priority before rank counts


class Claimer:
    """The one part of a process that leases entries."""

    def __init__(self, database: Database, handler: Handler, *, holder: SenderIdentity, clock: Clock) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._fair_share = FairShare()
        self._sweeping: asyncio.Task[None] | None = None
        self._next_sweep = 0.0
        self.has_unconfirmed_claim = False  # a claim may have been committed without our reading the reply

    async def claim(
        self, capacity: int, in_process: Mapping[UUID, ClaimedEntry], unwritten: Collection[UUID]
    ) -> list[ClaimedEntry]:
        """Claim up to `capacity` due entries; `in_process` and `unwritten` are those this process knows it holds."""
        counts = Counter(entry.priority for entry in in_process.values())
        known = {*in_process, *unwritten}
        if self._fair_share:
            self._start_sweep()
            claimed = await self._claim_shares(capacity, counts, known)
            if claimed or (in_process and self._clock.monotonic() < self._next_sweep):
                return claimed
        await self._sweep()
        return await self._claim_shares(capacity, counts, known) if self._fair_share else []

    @property
    def is_backlog_empty(self) -> bool:
        """True if the last sweep found nothing due but suspects."""
        return not self._fair_share

    async def claim_suspect(self, in_process: Collection[UUID], unwritten: Collection[UUID]) -> list[ClaimedEntry]:
        """Claim one entry that must run alone."""
        return await self._lease(self._build_request(), {*in_process, *unwritten}, suspect=True)

    async def has_due_suspect(self) -> bool:
        """Return True if an entry is due that must run alone."""
        async with self._database.read_statement() as connection:
            return await has_due_suspect(connection, self._handler.kind)

    async def close(self) -> None:
        """Wait for a running sweep, before the database is closed."""
        if self._sweeping is not None:
            await asyncio.wait({self._sweeping})

    async def _claim_shares(
        self, capacity: int, counts: Mapping[Priority, int], known: Collection[UUID]
    ) -> list[ClaimedEntry]:
        shares = self._fair_share.plan_shares(capacity, counts)
        if not shares:
            return []
        claimed = await self._lease(self._build_request(shares, capacity), known)
        self._fair_share.record_claimed(shares, claimed)
        return claimed

    def _build_request(self, shares: Sequence[ClaimShare] = (), capacity: int = 1) -> ClaimRequest:
        return ClaimRequest(
            kind=self._handler.kind,
            holder=self._holder.boot_id,
            lease=self._handler.lease,
            started=self._clock.monotonic(),
            shares=shares,
            capacity=capacity,
            reserve=fair_share.compute_reserve(capacity),
        )

    async def _lease(
        self, request: ClaimRequest, known: Collection[UUID], *, suspect: bool = False
    ) -> list[ClaimedEntry]:
        if self.has_unconfirmed_claim:
            async with self._database.write_statement() as connection:
                await release_orphans(connection, request, known)
            self.has_unconfirmed_claim = False
        self.has_unconfirmed_claim = True  # until the reply is here
        with metrics.CLAIM_SECONDS.time():
            async with self._database.write_statement() as connection:
                claimed = await (claim_suspect if suspect else claim_entries)(connection, request)
        self.has_unconfirmed_claim = False
        return claimed

    def _start_sweep(self) -> None:
        """Look for new services while the known ones are served; the result counts for the next claim."""
        if self._clock.monotonic() >= self._next_sweep and (self._sweeping is None or self._sweeping.done()):
            self._sweeping = asyncio.create_task(self._sweep_quietly())

    async def _sweep_quietly(self) -> None:
        try:
            await self._sweep()
        except Exception:  # noqa: BLE001 - the claim beside it meets the same error, and reports it
            self._next_sweep = self._clock.monotonic() + SWEEP_SECONDS

    async def _sweep(self) -> None:
        started = self._clock.monotonic()
        async with self._database.read_statement() as connection:
            self._fair_share.replace_backlogs(await list_backlogs(connection, self._handler.kind))
        now = self._clock.monotonic()
        self._next_sweep = now + max(SWEEP_SECONDS, SWEEP_INTERVAL_FACTOR * (now - started))


async def list_backlogs(
    connection: StatementConnection, kind: EntryKind, *, now: datetime | None = None
) -> list[ServiceBacklog]:
    """List the services with due work, for each priority, and since when it is due."""
    values = bind_now(connection, now)[0] | {"kind": kind.value}
    rows = await connection.execute(claim_sql.BACKLOG.for_connection(connection), values)
    return [
        ServiceBacklog(priority=Priority(row.priority), service_id=row.service_id, since=row.due_at) for row in rows
    ]


async def claim_entries(
    connection: StatementConnection, request: ClaimRequest, *, now: datetime | None = None
) -> list[ClaimedEntry]:
    """Lease due `ready` entries, and only those: an expired lease is rescued first, never claimed."""
    sqlite = is_sqlite(connection)
    shares = json.dumps([_build_turn(number, share, sqlite=sqlite) for number, share in enumerate(request.shares)])
    values = {"turns": shares, "room": request.capacity, "reserve": request.reserve}
    return await _execute_claim(connection, claim_sql.CLAIM, request, values, now)


async def claim_suspect(
    connection: StatementConnection, request: ClaimRequest, *, now: datetime | None = None
) -> list[ClaimedEntry]:
    """Lease the oldest due entry that has been lost so often that it must run alone."""
    return await _execute_claim(connection, claim_sql.CLAIM_SUSPECT, request, {}, now)


def _build_turn(number: int, share: ClaimShare, *, sqlite: bool) -> dict[str, Any]:
    return {
        "turn": number,
        "priority": share.priority.value,
        "service_id": share.service_id.hex,
        "since": format_sqlite_time(share.since) if sqlite else share.since.isoformat(),
        "rank": PRIORITIES_BY_RANK.index(share.priority),
        "share": share.share,
        "most": share.limit,
    }


async def _execute_claim(
    connection: StatementConnection,
    statement: DialectStatement,
    request: ClaimRequest,
    values: dict[str, Any],
    now: datetime | None,
) -> list[ClaimedEntry]:
    bound, time = bind_now(connection, now)
    values = values | bound | {"kind": request.kind.value}
    if not is_sqlite(connection):
        values |= {"holder": request.holder, "lease": request.lease.total_seconds()}
    rows = [dict(row) for row in (await connection.execute(statement.for_connection(connection), values)).mappings()]
    if is_sqlite(connection) and rows:
        ids, ends = json.dumps([row["id"].hex for row in rows]), format_sqlite_time(time + request.lease)
        await connection.execute(claim_sql.LEASE_SQLITE, {"ids": ids, "holder": request.holder.hex, "ends": ends})
        rows = [row | {"lease_no": row["lease_no"] + 1} for row in rows]
    rows.sort(key=lambda row: (row["due_at"], row["id"]))
    return [build_claimed_entry(row, lease_ends=request.started + request.lease.total_seconds()) for row in rows]


def build_claimed_entry(row: dict[str, Any], *, lease_ends: float = 0.0) -> ClaimedEntry:
    """Build an entry from its row; `lease_ends` in monotonic seconds, where the lease is our own."""
    return ClaimedEntry(**{**row, "priority": Priority(row["priority"])}, lease_ends=lease_ends)


async def has_due_suspect(connection: StatementConnection, kind: EntryKind, *, now: datetime | None = None) -> bool:
    """Return True if an entry is due that must be claimed alone."""
    values = bind_now(connection, now)[0] | {"kind": kind.value}
    return (await connection.execute(claim_sql.SUSPECTED.for_connection(connection), values)).first() is not None


async def release_orphans(
    connection: StatementConnection, request: ClaimRequest, known: Collection[UUID], *, now: datetime | None = None
) -> int:
    """Release what the holder has claimed without ever reading so: all of the kind but the `known`; return how many."""
    values = bind_now(connection, now)[0] | {"kind": request.kind.value}
    if is_sqlite(connection):
        values |= {"holder": request.holder.hex, "ids": json.dumps([id_.hex for id_ in known])}
    else:
        values |= {"holder": request.holder, "ids": list(known)}
    return len((await connection.execute(claim_sql.RELEASE_ORPHANS.for_connection(connection), values)).all())
