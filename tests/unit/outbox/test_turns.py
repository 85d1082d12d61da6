"""Whose turn it is: shares of priorities, turns of services, and how far back a claim looks."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from notifier.ids import new_id
from notifier.outbox.handler import Claimed
from notifier.outbox.leasing import Backlog, Turn
from notifier.outbox.turns import SLACK, Turns, reserve
from notifier.states import Priority

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def waiting(*services: UUID, priority: Priority = Priority.NORMAL, since: datetime = NOW) -> list[Backlog]:
    """Due work of these services."""
    return [Backlog(priority=priority, service_id=service, since=since) for service in services]


def claimed(turn: Turn, due_at: datetime) -> Claimed:
    """An entry that a turn has brought."""
    return Claimed(
        id=new_id(),
        lease_no=1,
        subject_id=new_id(),
        service_id=turn.service_id,
        priority=turn.priority,
        due_at=due_at,
        attempts=0,
        lost=0,
        faults=0,
        fault=None,
    )


def test_services_share_what_there_is_room_for() -> None:
    """Two services get half of the priority's share each."""
    turns = Turns()
    turns.swept(waiting(new_id(), new_id()))
    assert [(turn.share, turn.most) for turn in turns.ask(100, {})] == [(90, 45), (90, 45)]


def test_what_is_inside_counts_against_the_share() -> None:
    """Bulk that fills its part of the process already gets no more of it."""
    turns = Turns()
    turns.swept(waiting(new_id(), priority=Priority.BULK))
    assert turns.ask(40, {Priority.BULK: 60}) == []
    assert [turn.share for turn in turns.ask(40, {Priority.HIGH: 60})] == [40]


def test_of_many_services_each_is_served_in_turn() -> None:
    """With room for two of five, five claims serve each of them twice."""
    turns, services = Turns(), [new_id() for _ in range(5)]
    turns.swept(waiting(*services, priority=Priority.HIGH))
    served: list[UUID] = []
    for _ in range(5):
        asked = turns.ask(2, {})
        served += [turn.service_id for turn in asked]
        turns.served(asked, [])
    assert sorted(served) == sorted(services * 2)


def test_a_claim_looks_no_further_back_than_the_last_one() -> None:
    """What was taken is not looked at again, but for the moment in which rows may still become visible."""
    turns = Turns()
    turns.swept(waiting(new_id()))
    (turn,) = turns.ask(10, {})
    turns.served([turn], [claimed(turn, NOW + timedelta(seconds=30))])
    (later,) = turns.ask(10, {})
    assert (turn.since, later.since) == (NOW, NOW + timedelta(seconds=30) - SLACK)
    turns.served([later], [])
    assert turns.ask(10, {}) == [later]


def test_a_sweep_finds_what_lies_behind_and_forgets_who_is_gone() -> None:
    """An entry that was given back is due long ago; a service without due work costs nothing."""
    turns, kept, gone, new = Turns(), new_id(), new_id(), new_id()
    turns.swept(waiting(kept, gone))
    asked = turns.ask(10, {})
    turns.served(asked, [claimed(turn, NOW + timedelta(minutes=1)) for turn in asked])
    turns.swept(waiting(new, kept))
    assert [(turn.service_id, turn.since) for turn in turns.ask(10, {})] == [(kept, NOW), (new, NOW)]
    turns.swept([])
    assert not turns


def test_each_priority_has_a_reserve() -> None:
    """A twentieth of the room, and one at least."""
    assert [reserve(room) for room in (1, 20, 500)] == [1, 1, 25]
