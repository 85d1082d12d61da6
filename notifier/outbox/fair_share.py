"""Whose turn it is: which services have due work, and how much of each one claim may take.

Services share by turns, so that a million mails of one do not stand before the first of another. A claim looks no
further back than what it took last: that keeps it as fast as it was, whatever the database keeps of the past.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from notifier.outbox.handler import ClaimedEntry
from notifier.outbox.leasing import ClaimShare, ServiceBacklog
from notifier.states import Priority

MAX_PRIORITY_SHARE = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.BULK: 0.6}
"""The part of the room that each priority may fill."""
MIN_PRIORITY_SHARE = 0.05
"""The part that each non-empty priority gets before rank counts."""
VISIBILITY_SLACK = timedelta(seconds=1)
"""Rows may become visible in another order than they became due: a claim looks so far behind the last one it took."""

BacklogKey = tuple[Priority, UUID]


class FairShare:
    """Services with due work, in the order in which they are served."""

    def __init__(self) -> None:
        self._known: dict[BacklogKey, ServiceBacklog] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def replace_backlogs(self, found: Iterable[ServiceBacklog]) -> None:
        """Everything that is due was looked at: who is new comes last, who is not there any more is forgotten."""
        fresh = {(one.priority, one.service_id): one for one in found}
        kept = {key: fresh[key] for key in self._known if key in fresh}
        self._known = kept | fresh

    def plan_shares(self, room: int, inside: Mapping[Priority, int]) -> list[ClaimShare]:
        """What to claim, with so much room in all and so many of each priority in this process already."""
        whole = room + sum(inside.values())
        turns = []
        for priority in Priority:
            share = min(room, math.ceil(whole * MAX_PRIORITY_SHARE[priority]) - inside.get(priority, 0))
            here = [one for one in self._known.values() if one.priority is priority]
            # Of many services only so many as there is room for: the others are next.
            turns += _divide_share(here[: max(share, 0)], share)
        return turns

    def record_claimed(self, turns: Sequence[ClaimShare], claimed: Sequence[ClaimedEntry]) -> None:
        """Remember how far each service was served; who was asked goes to the end of the row."""
        latest = {(entry.priority, entry.service_id): entry.due_at for entry in claimed}  # in the order of `due_at`
        for turn in turns:
            key = (turn.priority, turn.service_id)
            one = self._known.pop(key, None)
            if one is not None:
                since = max(one.since, latest[key] - VISIBILITY_SLACK) if key in latest else one.since
                self._known[key] = ServiceBacklog(priority=turn.priority, service_id=turn.service_id, since=since)


def compute_reserve(room: int) -> int:
    """How many of each priority are claimed before rank counts."""
    return math.ceil(room * MIN_PRIORITY_SHARE)


def _divide_share(here: Sequence[ServiceBacklog], share: int) -> list[ClaimShare]:
    return [
        ClaimShare(
            priority=one.priority,
            service_id=one.service_id,
            since=one.since,
            share=share,
            limit=math.ceil(share / len(here)),
        )
        for one in here
    ]
