"""Fair share: the shares of priorities, the turns of services, and how far back a claim looks."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from notifier.ids import generate_id
from notifier.outbox.claim_sql import ClaimShare, ServiceBacklog
from notifier.outbox.claimer import VISIBILITY_SLACK, FairShare, compute_reserve
from notifier.outbox.entry_handler import ClaimedEntry
from notifier.states import Priority

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def backlogs(*services: UUID, priority: Priority = Priority.NORMAL, since: datetime = NOW) -> list[ServiceBacklog]:
    """Due work of these services."""
    return [ServiceBacklog(priority=priority, service_id=service, since=since) for service in services]


def claimed(share: ClaimShare, due_at: datetime) -> ClaimedEntry:
    """An entry that was claimed for a share."""
    return ClaimedEntry(
        id=generate_id(),
        lease_no=1,
        subject_id=generate_id(),
        service_id=share.service_id,
        priority=share.priority,
        due_at=due_at,
        attempts=0,
        lost=0,
        faults=0,
        fault=None,
    )


def test_two_services_share_the_capacity() -> None:
    """Two services get half of the priority's share each."""
    fair_share = FairShare()
    fair_share.replace_backlogs(backlogs(generate_id(), generate_id()))
    assert [(share.share, share.limit) for share in fair_share.plan_shares(100, {})] == [(90, 45), (90, 45)]


def test_entries_in_process_count_against_the_share() -> None:
    """Bulk that fills its part of the process already gets no more of it."""
    fair_share = FairShare()
    fair_share.replace_backlogs(backlogs(generate_id(), priority=Priority.BULK))
    assert fair_share.plan_shares(40, {Priority.BULK: 60}) == []
    assert [share.share for share in fair_share.plan_shares(40, {Priority.HIGH: 60})] == [40]


def test_many_services_are_served_by_turns() -> None:
    """With a capacity of two for five services, five claims serve each of them twice."""
    fair_share, services = FairShare(), [generate_id() for _ in range(5)]
    fair_share.replace_backlogs(backlogs(*services, priority=Priority.HIGH))
    served: list[UUID] = []
    for _ in range(5):
        shares = fair_share.plan_shares(2, {})
        served += [share.service_id for share in shares]
        fair_share.record_claimed(shares, [])
    assert sorted(served) == sorted(services * 2)


def test_a_claim_looks_no_further_back_than_the_last_one() -> None:
    """What was claimed is not looked at again, but for the second in which rows may still become visible."""
    fair_share = FairShare()
    fair_share.replace_backlogs(backlogs(generate_id()))
    (first,) = fair_share.plan_shares(10, {})
    fair_share.record_claimed([first], [claimed(first, NOW + timedelta(seconds=30))])
    (second,) = fair_share.plan_shares(10, {})
    assert (first.since, second.since) == (NOW, NOW + timedelta(seconds=30) - VISIBILITY_SLACK)
    fair_share.record_claimed([second], [])
    assert fair_share.plan_shares(10, {}) == [second]


def test_a_sweep_finds_older_work_and_forgets_idle_services() -> None:
    """A released entry was due long ago; a service without due work costs nothing."""
    fair_share, known, idle, new = FairShare(), generate_id(), generate_id(), generate_id()
    fair_share.replace_backlogs(backlogs(known, idle))
    shares = fair_share.plan_shares(10, {})
    fair_share.record_claimed(shares, [claimed(share, NOW + timedelta(minutes=1)) for share in shares])
    fair_share.replace_backlogs(backlogs(new, known))
    assert [(share.service_id, share.since) for share in fair_share.plan_shares(10, {})] == [(known, NOW), (new, NOW)]
    fair_share.replace_backlogs([])
    assert not fair_share


def test_each_priority_has_a_reserve() -> None:
    """It is a twentieth of the capacity, and one entry at least."""
    assert [compute_reserve(capacity) for capacity in (1, 20, 500)] == [1, 1, 25]
