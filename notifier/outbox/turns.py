"""Whose turn it is: which services have due work, and how much of each one claim may take.

Services share by turns, so that a million mails of one do not stand before the first of another. A claim looks no
further back than what it took last: that keeps it as fast as it was, whatever the database keeps of the past.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from notifier.outbox.handler import Claimed
from notifier.outbox.leasing import Backlog, Turn
from notifier.states import Priority

SHARE = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.BULK: 0.6}
"""The part of the room that each priority may fill."""
RESERVE = 0.05
"""The part that each non-empty priority gets before rank counts."""
SLACK = timedelta(seconds=1)
"""Rows may become visible in another order than they became due: a claim looks so far behind the last one it took."""

_Key = tuple[Priority, UUID]


class Turns:
    """Services with due work, in the order in which they are served."""

    def __init__(self) -> None:
        self._known: dict[_Key, Backlog] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def swept(self, found: Iterable[Backlog]) -> None:
        """Everything that is due was looked at: who is new comes last, who is not there any more is forgotten."""
        fresh = {(one.priority, one.service_id): one for one in found}
        kept = {key: fresh[key] for key in self._known if key in fresh}
        self._known = kept | fresh

    def ask(self, room: int, inside: Mapping[Priority, int]) -> list[Turn]:
        """What to claim, with so much room in all and so many of each priority in this process already."""
        whole = room + sum(inside.values())
        turns = []
        for priority in Priority:
            share = min(room, math.ceil(whole * SHARE[priority]) - inside.get(priority, 0))
            here = [one for one in self._known.values() if one.priority is priority]
            # Of many services only so many as there is room for: the others are next.
            turns += _turns(here[: max(share, 0)], share)
        return turns

    def served(self, turns: Sequence[Turn], claimed: Sequence[Claimed]) -> None:
        """Remember how far each service was served; who was asked goes to the end of the row."""
        latest = {(entry.priority, entry.service_id): entry.due_at for entry in claimed}  # in the order of `due_at`
        for turn in turns:
            key = (turn.priority, turn.service_id)
            one = self._known.pop(key, None)
            if one is not None:
                since = max(one.since, latest[key] - SLACK) if key in latest else one.since
                self._known[key] = Backlog(priority=turn.priority, service_id=turn.service_id, since=since)


def reserve(room: int) -> int:
    """How many of each priority are claimed before rank counts."""
    return math.ceil(room * RESERVE)


def _turns(here: Sequence[Backlog], share: int) -> list[Turn]:
    return [
        Turn(
            priority=one.priority,
            service_id=one.service_id,
            since=one.since,
            share=share,
            most=math.ceil(share / len(here)),
        )
        for one in here
    ]
