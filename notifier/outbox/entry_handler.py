"""The values that the queue and its handlers exchange: claimed entries one way, settlements the other."""

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import msgspec

from notifier.db.direct_connections import StatementConnection
from notifier.states import EntryKind, Priority

Fence = tuple[UUID, int]
"""Entry id and `lease_no`, which together name one claim."""
JournalNote = Mapping[str, Any]
"""What the handler keeps in the journal about a definite reply; JSON types only."""


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """Work to be done at `due_at` or later."""

    id: UUID
    kind: EntryKind
    subject_id: UUID
    service_id: UUID
    priority: Priority
    due_at: datetime


class ClaimedEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entry that this process holds under a lease, or that a dead one held."""

    id: UUID
    lease_no: int  # the fence, which every write about this claim carries
    subject_id: UUID
    service_id: UUID
    priority: Priority
    due_at: datetime  # when it was due, not when the lease ends
    attempts: int  # attempts used up before this claim
    lost: int  # leases that ended without a settlement
    faults: int  # times in a row that processing raised the same error
    fault: str | None  # fingerprint of that error
    lease_ends: float = 0.0  # monotonic seconds of this process, counted from before the claim was sent

    @property
    def fence(self) -> Fence:
        """The values that every write about this claim carries."""
        return self.id, self.lease_no


@dataclass(frozen=True, kw_only=True)
class LostClaim:
    """A claim that nobody can settle any more, and about which the handler must decide."""

    entry: ClaimedEntry
    marked_at: datetime | None  # when the body was permitted; None: not permitted, but lost too often
    unwritable: bool = False  # its holder is alive and knows the result, but the database refuses the record


@dataclass(frozen=True)
class FinishEntry:
    """Delete the entry: the work is over."""


@dataclass(frozen=True, kw_only=True)
class RescheduleEntry:
    """Make the entry due again after a delay, with its new counters."""

    delay: timedelta
    attempts: int
    faults: int = 0
    fault: str | None = None


@dataclass(frozen=True)
class ReleaseEntry:
    """Give the entry back as it was: no attempt is used up, and its due time stays."""


@dataclass(frozen=True, kw_only=True)
class HoldEntry:
    """Keep the entry out of every claim until a person decides, or until `delay` has passed, if there is one."""

    delay: timedelta | None = None
    attempts: int | None = None  # None: as before


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a claim ended: what happens to the entry, and what the handler records in the same transaction."""

    entry: ClaimedEntry
    action: FinishEntry | RescheduleEntry | ReleaseEntry | HoldEntry
    record: object = None
    proof: bool = False  # the work is known to be done, so it is recorded even if the fence no longer holds


@dataclass(frozen=True, kw_only=True)
class BodyPermit:
    """The committed mark of one entry: the body may begin. Times are monotonic seconds of this process."""

    first_byte_by: float  # the body must not begin later
    ends: float  # the body and its reply must be over: the lease ends
    may_continue: Callable[[], bool]  # called before each piece: False once others may consider this process dead


class WorkerContext(Protocol):
    """What the queue offers to a working handler."""

    def settle(self, settlement: Settlement) -> None:
        """Report how a claim ended."""

    def mark(self, entry: ClaimedEntry) -> Future[BodyPermit | None]:
        """Ask for permission to do what cannot be undone; the result is None if it must not begin."""

    def note(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        """Write a definite reply to the journal, which survives a kill; a struct is encoded as a `JournalNote`."""


class Handler(Protocol):
    """The work behind one kind of entry."""

    kind: EntryKind
    slots: int  # entries worked on at the same time
    bodies: int  # at least so many of them may wait for a mark at the same moment
    lease: timedelta
    still_wanted: str  # SQL on `e.subject_id` and the time `{now}`: whether the work may still be done

    def get_capacity(self) -> int:
        """Return how many entries may be in this process now: 0 while nothing can be done, 1 for a probe."""

    async def process(self, batch: Sequence[ClaimedEntry], context: WorkerContext) -> None:
        """Work on the batch and settle each entry exactly once."""

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write the records of these settlements, whose fences held or which are proofs; never commit."""

    async def recover_lost(self, connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Decide about claims whose holder is dead or whose record cannot be written."""

    async def replay(
        self, connection: StatementConnection, notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Build the settlements that a dead process could not report, from its journal notes."""
