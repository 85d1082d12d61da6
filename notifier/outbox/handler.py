"""What the queue and the work done on it say to each other: claimed entries one way, settlements the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.states import EntryKind, Priority


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """Work to be done once `due_at` has come."""

    id: UUID
    kind: EntryKind
    subject_id: UUID
    service_id: UUID
    priority: Priority
    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """An entry that this process holds under a lease."""

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
    lease_ends: float  # monotonic seconds of this process, counted from before the claim was sent


@dataclass(frozen=True)
class Finish:
    """The work is over: delete the entry."""


@dataclass(frozen=True, kw_only=True)
class Reschedule:
    """Due again after a delay, with what has been burnt so far."""

    delay: timedelta
    attempts: int
    faults: int = 0
    fault: str | None = None


@dataclass(frozen=True)
class Release:
    """Given back unburnt: due when it was due before."""


@dataclass(frozen=True)
class Hold:
    """Kept out of every claim until a person looks."""


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """How a claim ended: what becomes of the entry, and what the handler wants recorded in the same transaction."""

    entry: Claimed
    action: Finish | Reschedule | Release | Hold
    record: object = None


Settle = Callable[[Settlement], None]


class Handler(Protocol):
    """The work behind one kind of entry."""

    kind: EntryKind
    slots: int  # entries worked on at the same time
    lease: timedelta

    def room(self) -> int:
        """How many entries may be in this process now: 0 while nothing can be done, 1 for a probe."""

    async def process(self, batch: Sequence[Claimed], settle: Settle) -> None:
        """Work on the batch and settle each entry exactly once."""

    async def record(self, connection: AsyncConnection, settled: Sequence[Settlement]) -> None:
        """Write what these settlements mean; their fences held. Never commits."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """How much one claim may take: in all, and of each priority; `reserve` is each one's share before rank counts."""

    room: int
    share: Mapping[Priority, int]
    reserve: int
