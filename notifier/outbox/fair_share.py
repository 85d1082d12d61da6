"""Which services have due work, and how much of it one claim may take.

Services share by turns, so that a million mails of one do not stand before the first of another. A claim looks no
further back than the last one did, so its cost does not grow with what the database keeps of the past.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from notifier.outbox.entry_handler import ClaimedEntry
from notifier.states import Priority

MAX_PRIORITY_SHARE = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.BULK: 0.6}
"""The part of the capacity that each priority may fill."""
MIN_PRIORITY_SHARE = 0.05
"""The part that each non-empty priority gets before rank counts."""
VISIBILITY_SLACK = timedelta(seconds=1)
"""Rows may become visible in another order than they became due, so a claim looks this far behind the last one."""


@dataclass(frozen=True, kw_only=True)
class ServiceBacklog:
    """Due work of one service and one priority, which may be claimed together with other work."""

    priority: Priority
    service_id: UUID
    since: datetime  # when the oldest of it was due


@dataclass(frozen=True, kw_only=True)
class ClaimShare:
    """What one claim may take of one service and one priority."""

    priority: Priority
    service_id: UUID
    since: datetime  # older due times are not looked at: those rows are dead, or the next sweep finds them
    share: int  # of the whole priority
    limit: int  # of this service


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
