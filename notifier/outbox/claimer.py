"""Claiming for one process: who has work is looked up now and then, and the oldest of it is leased by turns.

It promises that a claim costs the same whatever lies in the queue, that a service which is new here is served within
a second, and that an entry leased by a claim whose reply was lost is given back.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from uuid import UUID

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.outbox import fair_share, leasing
from notifier.outbox.fair_share import FairShare
from notifier.outbox.handler import ClaimedEntry, Handler
from notifier.outbox.sender_identity import SenderIdentity
from notifier.states import Priority
from notifier.telemetry import metrics

SWEEP_SECONDS = 0.5
"""Between looks at the whole queue while there is work: how soon a service that is new here is noticed."""
SWEEP_INTERVAL_FACTOR = 20.0
"""A look that takes long is repeated less often: after so many times its own duration."""


class Claimer:
    """The one part of a process that leases entries."""

    def __init__(self, database: Database, handler: Handler, *, holder: SenderIdentity, clock: Clock) -> None:
        self._database = database
        self._handler = handler
        self._holder = holder
        self._clock = clock
        self._turns = FairShare()
        self._sweeping: asyncio.Task[None] | None = None
        self._next_sweep = 0.0
        self.has_unconfirmed_claim = False  # a claim may have been committed without our hearing of it

    async def claim(
        self, room: int, inside: Mapping[UUID, ClaimedEntry], unwritten: Collection[UUID]
    ) -> list[ClaimedEntry]:
        """Up to `room` due entries; `inside` and `unwritten` are those that this process knows it holds."""
        counts = Counter(entry.priority for entry in inside.values())
        if self._turns:
            self._sweep_beside()
            claimed = await self._by_turns(room, counts, {*inside, *unwritten})
            if claimed or (inside and self._clock.monotonic() < self._next_sweep):
                return claimed
        await self._sweep()
        return await self._by_turns(room, counts, {*inside, *unwritten}) if self._turns else []

    @property
    def is_backlog_empty(self) -> bool:
        """True if the last look at the whole queue saw nothing due that may be claimed in company."""
        return not self._turns

    async def claim_suspect(self, inside: Collection[UUID], unwritten: Collection[UUID]) -> list[ClaimedEntry]:
        """One that must be alone."""
        return await self._lease(self._wanted(), {*inside, *unwritten}, suspect=True)

    async def has_due_suspect(self) -> bool:
        """True if an entry waits that must be alone."""
        async with self._database.read_statement() as connection:
            return await leasing.has_due_suspect(connection, self._handler.kind)

    async def close(self) -> None:
        """Let a look that is under way end, before the database is closed."""
        if self._sweeping is not None:
            await asyncio.wait({self._sweeping})

    async def _by_turns(self, room: int, counts: Mapping[Priority, int], known: Collection[UUID]) -> list[ClaimedEntry]:
        asked = self._turns.plan_shares(room, counts)
        if not asked:
            return []
        claimed = await self._lease(self._wanted(asked, room), known)
        self._turns.record_claimed(asked, claimed)
        return claimed

    def _wanted(self, asked: Collection[leasing.ClaimShare] = (), room: int = 1) -> leasing.ClaimRequest:
        return leasing.ClaimRequest(
            kind=self._handler.kind,
            holder=self._holder.boot_id,
            lease=self._handler.lease,
            started=self._clock.monotonic(),
            shares=list(asked),
            capacity=room,
            reserve=fair_share.compute_reserve(room),
        )

    async def _lease(
        self, wanted: leasing.ClaimRequest, known: Collection[UUID], *, suspect: bool = False
    ) -> list[ClaimedEntry]:
        if self.has_unconfirmed_claim:
            async with self._database.write_statement() as connection:
                await leasing.release_orphans(connection, wanted, known)
            self.has_unconfirmed_claim = False
        self.has_unconfirmed_claim = True  # until the reply is here
        with metrics.CLAIM_SECONDS.time():
            async with self._database.write_statement() as connection:
                claimed = await (leasing.claim_suspect if suspect else leasing.claim_entries)(connection, wanted)
        self.has_unconfirmed_claim = False
        return claimed

    def _sweep_beside(self) -> None:
        """Look for new services while the known ones are served; what it finds counts for the next claim."""
        if self._clock.monotonic() >= self._next_sweep and (self._sweeping is None or self._sweeping.done()):
            self._sweeping = asyncio.create_task(self._sweep_quietly())

    async def _sweep_quietly(self) -> None:
        try:
            await self._sweep()
        except Exception:  # noqa: BLE001 - whatever it is, the claim beside it meets the same, and says so
            self._next_sweep = self._clock.monotonic() + SWEEP_SECONDS

    async def _sweep(self) -> None:
        started = self._clock.monotonic()
        async with self._database.read_statement() as connection:
            self._turns.replace_backlogs(await leasing.list_backlogs(connection, self._handler.kind))
        now = self._clock.monotonic()
        self._next_sweep = now + max(SWEEP_SECONDS, SWEEP_INTERVAL_FACTOR * (now - started))
