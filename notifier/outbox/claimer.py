"""Claiming for one process: what the next claim may take, and when.

Services share by turns, so that a million mails of one do not stand before the first of another. A claim looks no
further back than the last one did, so its cost does not grow with what lies in the queue. An entry that was lost twice
is a suspect, and runs alone.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.outbox import claim_sql
from notifier.outbox.claim_sql import ClaimRequest, ClaimShare, ServiceBacklog
from notifier.outbox.entry_handler import ClaimedEntry, Handler
from notifier.outbox.heartbeat import SenderIdentity
from notifier.states import Priority
from notifier.telemetry import metrics

SWEEP_SECONDS = 0.5
"""Between sweeps of the whole queue while there is work: how soon a service that is new here is noticed."""
SWEEP_INTERVAL_FACTOR = 20.0
"""A slow sweep is repeated less often: after this many times its own duration."""
MAX_PRIORITY_SHARE = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.BULK: 0.6}
"""The part of the capacity that each priority may fill."""
MIN_PRIORITY_SHARE = 0.05
"""The part that each non-empty priority gets before rank counts."""
VISIBILITY_SLACK = timedelta(seconds=1)
"""Rows may become visible in another order than they became due, so a claim looks this far behind the last one."""
MAX_TURN_SECONDS = 1.0
"""Seconds in a row in which only suspects are claimed; then the others have at least as long."""
MAX_WAIT_SECONDS = 5.0
"""Seconds to wait for the process to become empty, so that a slow relay does not stop the queue for a suspect."""


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
            return await claim_sql.has_due_suspect(connection, self._handler.kind)

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
            reserve=compute_reserve(capacity),
        )

    async def _lease(
        self, request: ClaimRequest, known: Collection[UUID], *, suspect: bool = False
    ) -> list[ClaimedEntry]:
        if self.has_unconfirmed_claim:
            async with self._database.write_statement() as connection:
                await claim_sql.release_orphans(connection, request, known)
            self.has_unconfirmed_claim = False
        self.has_unconfirmed_claim = True  # until the reply is here
        with metrics.CLAIM_SECONDS.time():
            async with self._database.write_statement() as connection:
                claimed = await (claim_sql.claim_suspect if suspect else claim_sql.claim_entries)(connection, request)
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
            self._fair_share.replace_backlogs(await claim_sql.list_backlogs(connection, self._handler.kind))
        now = self._clock.monotonic()
        self._next_sweep = now + max(SWEEP_SECONDS, SWEEP_INTERVAL_FACTOR * (now - started))


class FairShare:
    """Services with due work, in the order in which they are served."""

    def __init__(self) -> None:
        self._backlogs: dict[tuple[Priority, UUID], ServiceBacklog] = {}

    def __bool__(self) -> bool:
        return bool(self._backlogs)

    def replace_backlogs(self, backlogs: Iterable[ServiceBacklog]) -> None:
        """Take over a complete list of the backlogs: new services come last, the others keep their place."""
        latest = {(backlog.priority, backlog.service_id): backlog for backlog in backlogs}
        self._backlogs = {key: latest[key] for key in self._backlogs if key in latest} | latest

    def plan_shares(self, capacity: int, in_process: Mapping[Priority, int]) -> list[ClaimShare]:
        """Plan a claim of up to `capacity` entries, with so many of each priority in this process already."""
        total = capacity + sum(in_process.values())
        shares = []
        for priority in Priority:
            share = min(capacity, math.ceil(total * MAX_PRIORITY_SHARE[priority]) - in_process.get(priority, 0))
            backlogs = [backlog for backlog in self._backlogs.values() if backlog.priority is priority]
            backlogs = backlogs[: max(share, 0)]  # the other services are next
            shares += [
                ClaimShare(**vars(backlog), share=share, limit=math.ceil(share / len(backlogs))) for backlog in backlogs
            ]
        return shares

    def record_claimed(self, shares: Sequence[ClaimShare], claimed: Sequence[ClaimedEntry]) -> None:
        """Remember how far each service was served, and move it to the end of the line."""
        latest = {(entry.priority, entry.service_id): entry.due_at for entry in claimed}  # in the order of `due_at`
        for share in shares:
            key = (share.priority, share.service_id)
            backlog = self._backlogs.pop(key, None)
            if backlog is not None:
                since = max(backlog.since, latest[key] - VISIBILITY_SLACK) if key in latest else backlog.since
                self._backlogs[key] = ServiceBacklog(priority=share.priority, service_id=share.service_id, since=since)


def compute_reserve(capacity: int) -> int:
    """Compute how many entries of each priority are claimed before rank counts."""
    return math.ceil(capacity * MIN_PRIORITY_SHARE)


class Quarantine:
    """Whether suspects are due, and which one runs alone in this process now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_check = 0.0
        self._turn_ends = 0.0
        self._wait_ends = 0.0
        self.is_active = False  # suspects are due, and nothing else is claimed
        self.isolated_id: UUID | None = None  # claimed alone, and neither marked nor settled yet

    def is_check_due(self) -> bool:
        """Return True when it is time to check for due suspects."""
        return not self.is_active and self._clock.monotonic() >= self._next_check

    def record_check(self, *, are_due: bool) -> None:
        """Record the result of a check."""
        now = self._clock.monotonic()
        self.is_active = are_due
        self._turn_ends = now + MAX_TURN_SECONDS
        self._wait_ends = now + MAX_WAIT_SECONDS
        self._next_check = now + MAX_TURN_SECONDS

    def give_up_if_late(self) -> None:
        """Give up if the other entries have been in the process for too long."""
        if self._clock.monotonic() >= self._wait_ends:
            self._end()

    def record_claim(self, ids: Sequence[UUID]) -> None:
        """Record the suspect that runs alone now; no ids if none was due any more."""
        self.isolated_id = ids[0] if ids else None
        if not ids:
            self._end()

    def clear(self, id_: UUID) -> None:
        """Clear an entry that was marked or settled while the process lived."""
        if id_ == self.isolated_id:
            self.isolated_id = None
            if self._clock.monotonic() >= self._turn_ends:
                self._end()

    def _end(self) -> None:
        self.is_active = False
        self._next_check = self._clock.monotonic() + MAX_TURN_SECONDS
