"""Whose turn it is: shares of priorities, turns of services, and how far back a claim looks."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from notifier.ids import generate_id
from notifier.outbox.fair_share import VISIBILITY_SLACK, FairShare, compute_reserve
from notifier.outbox.handler import ClaimedEntry
from notifier.outbox.leasing import ClaimShare, ServiceBacklog
from notifier.states import Priority

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def waiting(*services: UUID, priority: Priority = Priority.NORMAL, since: datetime = NOW) -> list[ServiceBacklog]:
    """Due work of these services."""
    return [ServiceBacklog(priority=priority, service_id=service, since=since) for service in services]


def claimed(turn: ClaimShare, due_at: datetime) -> ClaimedEntry:
    """An entry that a turn has brought."""
    return ClaimedEntry(
        id=generate_id(),
        lease_no=1,
        subject_id=generate_id(),
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
    turns = FairShare()
    turns.replace_backlogs(waiting(generate_id(), generate_id()))
    assert [(turn.share, turn.limit) for turn in turns.plan_shares(100, {})] == [(90, 45), (90, 45)]


def test_what_is_inside_counts_against_the_share() -> None:
    """Bulk that fills its part of the process already gets no more of it."""
    turns = FairShare()
    turns.replace_backlogs(waiting(generate_id(), priority=Priority.BULK))
    assert turns.plan_shares(40, {Priority.BULK: 60}) == []
    assert [turn.share for turn in turns.plan_shares(40, {Priority.HIGH: 60})] == [40]


def test_of_many_services_each_is_served_in_turn() -> None:
    """With room for two of five, five claims serve each of them twice."""
    turns, services = FairShare(), [generate_id() for _ in range(5)]
    turns.replace_backlogs(waiting(*services, priority=Priority.HIGH))
    served: list[UUID] = []
    for _ in range(5):
        asked = turns.plan_shares(2, {})
        served += [turn.service_id for turn in asked]
        turns.record_claimed(asked, [])
    assert sorted(served) == sorted(services * 2)


def test_a_claim_looks_no_further_back_than_the_last_one() -> None:
    """What was taken is not looked at again, but for the moment in which rows may still become visible."""
    turns = FairShare()
    turns.replace_backlogs(waiting(generate_id()))
    (turn,) = turns.plan_shares(10, {})
    turns.record_claimed([turn], [claimed(turn, NOW + timedelta(seconds=30))])
    (later,) = turns.plan_shares(10, {})
    assert (turn.since, later.since) == (NOW, NOW + timedelta(seconds=30) - VISIBILITY_SLACK)
    turns.record_claimed([later], [])
    assert turns.plan_shares(10, {}) == [later]


def test_a_sweep_finds_what_lies_behind_and_forgets_who_is_gone() -> None:
    """An entry that was given back is due long ago; a service without due work costs nothing."""
    turns, kept, gone, new = FairShare(), generate_id(), generate_id(), generate_id()
    turns.replace_backlogs(waiting(kept, gone))
    asked = turns.plan_shares(10, {})
    turns.record_claimed(asked, [claimed(turn, NOW + timedelta(minutes=1)) for turn in asked])
    turns.replace_backlogs(waiting(new, kept))
    assert [(turn.service_id, turn.since) for turn in turns.plan_shares(10, {})] == [(kept, NOW), (new, NOW)]
    turns.replace_backlogs([])
    assert not turns


def test_each_priority_has_a_reserve() -> None:
    """A twentieth of the room, and one at least."""
    assert [compute_reserve(room) for room in (1, 20, 500)] == [1, 1, 25]
