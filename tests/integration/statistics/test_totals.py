"""The totals of hours are the sums of the counts, and what is not read from them is bounded."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import delete, func, select, update
from support import past_traffic
from support.past_traffic import PastMail

from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, Attempt, Notification, StatisticsCount, StatisticsHour, get_columns
from notifier.ids import get_first_id
from notifier.runtime import wiring
from notifier.states import KeyKind, Reason, Status
from notifier.statistics import hour_totals, periods, roll_up, statistics_query
from notifier.statistics.periods import InvalidPeriodError
from notifier.statistics.statistics_query import StatisticsFilter

NOON = datetime(2026, 10, 1, 12, 10, tzinfo=UTC)
SHOP, OTHER, TEMPLATE = UUID(int=1), UUID(int=2), UUID(int=3)
DAY = periods.build_day(NOON.date(), ZoneInfo("UTC"))
_notification, _count, _hour = get_columns(Notification), get_columns(StatisticsCount), get_columns(StatisticsHour)


@pytest.fixture
def few_counts() -> Iterator[int]:
    """Let a range have five counts at most."""
    before, roll_up.MAX_COUNTS = roll_up.MAX_COUNTS, 5
    yield roll_up.MAX_COUNTS
    roll_up.MAX_COUNTS = before


@pytest.fixture
def _few_read_counts() -> Iterator[None]:
    """Let a search read three counts at most."""
    before, statistics_query.MAX_READ_COUNTS = statistics_query.MAX_READ_COUNTS, 3
    yield
    statistics_query.MAX_READ_COUNTS = before


def _build_mail(number: int, status: Status, template: UUID | None = None) -> PastMail:
    at = NOON + timedelta(seconds=number)
    return PastMail(UUID(int=get_first_id(at).int + number), SHOP, template, at, status, None, None)


async def _count_all(database: Database, now: datetime) -> list[int]:
    """Count all ranges that are due; return how many counts each transaction changed."""
    changes = []
    while counted := await roll_up.count_due_ranges(database, now):
        async with database.write() as connection:
            changes.append(await roll_up.write_counted_ranges(connection, counted, now))
    return changes


async def _assert_sums(database: Database) -> None:
    """The totals have the sums of all counts, and nothing else."""
    expected: Counter[tuple[UUID, int, str]] = Counter()
    async with database.read() as connection:
        for row in await connection.execute(select(*_count)):
            measures = [f"{row.status}:{row.reason}", *([str(row.bucket)] if row.bucket >= 0 else [])]
            for measure in measures:
                for owner in (row.service_id, INSTANCE):
                    expected[owner, row.quarter // 4, measure] += row.number
        rows = (await connection.execute(select(*_hour))).all()
    assert {(row.service_id, row.hour, row.measure): row.number for row in rows} == expected


async def test_totals_follow_every_change(parts: wiring.ProcessParts) -> None:
    """After counts, late rows, changes of status, a step that is written twice and a purge, the totals are the sums."""
    mails = past_traffic.invent_mail(NOON, NOON + timedelta(hours=5), 300, (SHOP, OTHER), templates=(None, TEMPLATE))
    await past_traffic.write_mail(parts.database, mails[:200])
    now = NOON + timedelta(hours=6)
    counted = await roll_up.count_due_ranges(parts.database, now)
    for _ in range(2):
        async with parts.database.write() as connection:
            await roll_up.write_counted_ranges(connection, counted, now)
    await _count_all(parts.database, now)
    await _assert_sums(parts.database)
    await past_traffic.write_mail(parts.database, mails[200:])
    async with parts.database.write() as connection:
        changed = update(Notification).where(_notification.status == Status.SENT, _notification.service_id == SHOP)
        await connection.execute(changed.values(status=Status.BOUNCED))
    await _count_all(parts.database, now + timedelta(days=2))
    await _assert_sums(parts.database)
    async with parts.database.write() as connection:
        await connection.execute(delete(Attempt))
        await connection.execute(delete(Notification))
    await _count_all(parts.database, now + timedelta(days=4))
    await _assert_sums(parts.database)


async def test_a_range_whose_counts_multiply_is_divided(parts: wiring.ProcessParts, few_counts: int) -> None:
    """Mails that are one count while they wait, and later have a count each, are still written in small parts."""
    mails = [_build_mail(number, Status.QUEUED) for number in range(len(Reason))]
    next_hours = _build_mail(3 * 3600, Status.QUEUED)
    await past_traffic.write_mail(parts.database, [*mails, next_hours])
    now = NOON + timedelta(hours=4)
    await _count_all(parts.database, now)
    async with parts.database.write() as connection:
        for mail, reason in zip(mails, Reason, strict=True):
            changed = update(Notification).where(_notification.id == mail.id)
            await connection.execute(changed.values(status=Status.FAILED, reason=reason))
    changes = await _count_all(parts.database, now + timedelta(days=2))
    assert max(changes) <= 2 * few_counts
    await _assert_sums(parts.database)
    async with parts.database.read() as connection:
        sizes = await connection.execute(select(func.count(_count.number)).group_by(_count.first_id))
        assert max(sizes.scalars()) <= few_counts
        (figures,) = await statistics_query.load_figures(connection, [DAY], StatisticsFilter())
    assert figures.reasons == dict.fromkeys(Reason, 1)
    assert figures.statuses == {Status.FAILED: len(Reason), Status.QUEUED: 1}


async def test_a_purged_range_is_not_divided(parts: wiring.ProcessParts, few_counts: int) -> None:
    """A range of which mail was deleted keeps its counts, however many there are."""
    roll_up.MAX_COUNTS = 100
    mails = [_build_mail(number, Status.SENT, UUID(int=100 + number)) for number in range(12)]
    next_hours = _build_mail(3 * 3600, Status.QUEUED)
    await past_traffic.write_mail(parts.database, [*mails, next_hours])
    now = NOON + timedelta(hours=4)
    await _count_all(parts.database, now)
    roll_up.MAX_COUNTS = few_counts
    async with parts.database.write() as connection:
        await connection.execute(delete(Notification).where(_notification.id == mails[0].id))
    await _count_all(parts.database, now + timedelta(days=2))
    async with parts.database.read() as connection:
        (figures,) = await statistics_query.load_figures(connection, [DAY], StatisticsFilter())
    assert figures.statuses[Status.SENT] == len(mails)
    await _assert_sums(parts.database)


@pytest.mark.usefixtures("_few_read_counts")
async def test_too_many_counts_are_refused(parts: wiring.ProcessParts) -> None:
    """Quarters that no total has are read up to a limit; whole hours are read without one."""
    mails = past_traffic.invent_mail(NOON, NOON + timedelta(hours=30), 300, (SHOP, OTHER))
    await past_traffic.write_mail(parts.database, mails)
    await _count_all(parts.database, NOON + timedelta(hours=31))
    live = sum(mail.kind is not KeyKind.TEST for mail in mails)
    async with parts.database.read() as connection:
        for zone in ("UTC", "Europe/Berlin"):
            days = [periods.build_day(date(2026, 10, day), ZoneInfo(zone)) for day in (1, 2, 3)]
            figures = await statistics_query.load_figures(connection, days, StatisticsFilter())
            assert sum(each.total for each in figures) == live
        days = [periods.build_day(date(2026, 10, day), ZoneInfo("Asia/Kolkata")) for day in (1, 2, 3)]
        with pytest.raises(InvalidPeriodError, match="ask for a shorter time"):
            await statistics_query.load_figures(connection, days, StatisticsFilter())


async def test_old_totals_are_deleted_hour_by_hour(parts: wiring.ProcessParts) -> None:
    """Of the hours that are older than the counts are kept, one goes at a time; the others stay."""
    mails = past_traffic.invent_mail(NOON, NOON + timedelta(hours=3), 40, (SHOP,))
    await past_traffic.write_mail(parts.database, mails)
    await _count_all(parts.database, NOON + timedelta(hours=4))
    limit = timedelta(days=800)
    left = []
    for _ in range(5):
        async with parts.database.write() as connection:
            await hour_totals.delete_old_hour(connection, NOON + limit + timedelta(hours=2), limit)
            left.append(await connection.scalar(select(func.count(_hour.hour.distinct()))))
    assert left == [3, 2, 2, 2, 2]
