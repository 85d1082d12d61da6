"""What the queue and the work done on it say to each other: claimed entries one way, settlements the other."""

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
"""Entry id and `lease_no`: what makes one claim unlike every other."""
JournalNote = Mapping[str, Any]
"""What the handler wants to remember of a definite reply; JSON types only."""


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """Work to be done once `due_at` has come."""

    id: UUID
    kind: EntryKind
    subject_id: UUID
    service_id: UUID
    priority: Priority
    due_at: datetime


class ClaimedEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entry that this process holds, or a dead one held, under a lease."""

    id: UUID
    lease_no: int  # the fence: every write about this claim carries it
    subject_id: UUID
    service_id: UUID
    priority: Priority
    due_at: datetime  # when it was due, not when the lease ends
    attempts: int  # tries burnt before this claim
    lost: int  # leases that ended without a word
    faults: int  # times in a row that processing raised the same error
    fault: str | None  # fingerprint of that error
    lease_ends: float = 0.0  # monotonic seconds of this process, counted from before the claim was sent

    @property
    def fence(self) -> Fence:
        """What every write about this claim carries."""
        return self.id, self.lease_no


@dataclass(frozen=True, kw_only=True)
class LostClaim:
    """A claim whose end nobody can write down, and about which the handler must decide."""

    entry: ClaimedEntry
    marked_at: datetime | None  # when the body was permitted; None: it never came so far, and was lost too often
    unwritable: bool = False  # its holder lives and knows the end, but the database refuses the record


@dataclass(frozen=True)
class FinishEntry:
    """The work is over: delete the entry."""


@dataclass(frozen=True, kw_only=True)
class RescheduleEntry:
    """Due again after a delay, with what has been burnt so far."""

    delay: timedelta
    attempts: int
    faults: int = 0
    fault: str | None = None


@dataclass(frozen=True)
class ReleaseEntry:
    """Given back unburnt: due when it was due before."""


@dataclass(frozen=True, kw_only=True)
class HoldEntry:
    """Kept out of every claim until a person decides; after `delay`, if there is one, ready to be closed."""

    delay: timedelta | None = None
    attempts: int | None = None  # None: as before


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a claim ended: what becomes of the entry, and what the handler wants recorded in the same transaction."""

    entry: ClaimedEntry
    action: FinishEntry | RescheduleEntry | ReleaseEntry | HoldEntry
    record: object = None
    proof: bool = False  # the work is known to be done: recorded even if the fence no longer holds


@dataclass(frozen=True, kw_only=True)
class BodyPermit:
    """The committed mark of one entry: the body may begin. Times are monotonic seconds of this process."""

    first_byte_by: float  # later than this, never
    ends: float  # by then all must be over: the lease ends
    may_continue: Callable[[], bool]  # asked before each further piece: False once others may take us for dead


class WorkerContext(Protocol):
    """What the queue offers to a handler at work."""

    def settle(self, settlement: Settlement) -> None:
        """Hand in how a claim ended."""

    def mark(self, entry: ClaimedEntry) -> Future[BodyPermit | None]:
        """Ask for permission to do what cannot be undone; None: it must not begin."""

    def note(self, entry: ClaimedEntry, note: JournalNote | msgspec.Struct) -> None:
        """Remember a definite reply where even a killed process finds it again; as a `Note`, or what becomes one."""


class Handler(Protocol):
    """The work behind one kind of entry."""

    kind: EntryKind
    slots: int  # entries worked on at the same time
    bodies: int  # and of those, how many may wait for a mark at the same moment, at the least
    lease: timedelta
    still_wanted: str  # SQL on `e.subject_id`, the time being `{now}`: whether its work may still be done

    def get_capacity(self) -> int:
        """How many entries may be in this process now: 0 while nothing can be done, 1 for a probe."""

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        """Work on the batch and settle each entry exactly once."""

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write what these settlements mean; their fences held, or they are proofs. Never commits."""

    async def recover_lost(self, connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Decide about claims whose holder is dead, or whose record cannot be written."""

    async def replay(
        self, connection: StatementConnection, notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """The settlements that a dead process was kept from handing in, from its notes."""
