"""The roll-up counts each notification once, whatever happens between its steps."""

import random
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
from notifier.db.tables import Attempt, Notification, StatisticsCount, StatisticsRange, get_columns
from notifier.ids import generate_id, get_first_id
from notifier.runtime import wiring
from notifier.states import Status
from notifier.statistics import periods, roll_up, statistics_query
from notifier.statistics.latency_histogram import find_bucket
from notifier.statistics.roll_up import CountedRange
from notifier.statistics.statistics_query import PeriodFigures, StatisticsFilter

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = (date(2026, 10, 24), date(2026, 10, 25), date(2026, 10, 26))
"""On the second one Berlin's clocks go back."""
SHOP, OTHER, TEMPLATE = UUID(int=1), UUID(int=2), UUID(int=3)
_notification = get_columns(Notification)


@pytest.fixture(autouse=True)
def _small_ranges() -> Iterator[None]:
    """Split ranges often."""
    sizes = roll_up.MAX_ROWS, roll_up.MAX_RANGES
    roll_up.MAX_ROWS, roll_up.MAX_RANGES = 40, 7
    yield
    roll_up.MAX_ROWS, roll_up.MAX_RANGES = sizes


async def _count(database: Database, now: datetime) -> int:
    """Count all ranges that are due; return how many counts have changed."""
    changed = 0
    while counted := await roll_up.count_due_ranges(database, now):
        changed += await _write(database, counted, now)
    return changed


async def _write(database: Database, counted: list[CountedRange], now: datetime) -> int:
    async with database.write() as connection:
        return await roll_up.write_counted_ranges(connection, counted, now)


async def _get_day(database: Database, day: date, zone: ZoneInfo, filters: StatisticsFilter) -> PeriodFigures:
    async with database.read() as connection:
        (figures,) = await statistics_query.load_figures(connection, [periods.build_day(day, zone)], filters)
    return figures


async def _assert_equal(database: Database, zone: ZoneInfo, service_id: UUID | None = None) -> None:
    for day in DAYS:
        expected = await past_traffic.count_rows(database, day, zone, service_id)
        figures = await _get_day(database, day, zone, StatisticsFilter(service_id=service_id))
        assert figures.statuses == expected.statuses, day
        assert figures.reasons == expected.reasons, day
        assert figures.buckets == Counter(map(find_bucket, expected.seconds)), day
        median = figures.get_seconds(statistics_query.MEDIAN)
        assert median is not None
        true = expected.seconds[-int(-0.5 * len(expected.seconds) // 1) - 1]
        assert find_bucket(median) == find_bucket(true), day


def _invent(number: int = past_traffic.MAILS, services: tuple[UUID, ...] = (SHOP, OTHER)) -> list[PastMail]:
    start, stop = past_traffic.at(DAYS[0], 0, BERLIN), past_traffic.at(DAYS[-1] + timedelta(days=1), 0, BERLIN)
    return past_traffic.invent_mail(start, stop, number, services, templates=(None, TEMPLATE))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])
async def test_the_figures_of_a_day_equal_a_count_over_the_rows(parts: wiring.ProcessParts, zone: str) -> None:
    """Three days of mail around a change of time: the figures equal a count in Python, in each zone and service."""
    await past_traffic.write_mail(parts.database, _invent())
    await _count(parts.database, parts.clock.now())
    await _assert_equal(parts.database, ZoneInfo(zone))
    await _assert_equal(parts.database, ZoneInfo(zone), OTHER)


async def test_a_second_count_changes_nothing(parts: wiring.ProcessParts) -> None:
    """Counting all ranges again changes no count, and divides no range again."""
    await past_traffic.write_mail(parts.database, _invent())
    now = parts.clock.now()
    assert await _count(parts.database, now) > 0
    before = await _list_counts(parts.database)
    assert await _count(parts.database, now + timedelta(days=2)) == 0
    assert await _list_counts(parts.database) == before


async def test_late_changes_and_late_rows_are_counted(parts: wiring.ProcessParts) -> None:
    """Statuses that change days later, and rows that become visible late, are in the figures after the next count."""
    mails, chance = _invent(), random.Random(2)
    late = set(chance.sample(range(len(mails)), len(mails) // 9))
    await past_traffic.write_mail(parts.database, [mail for index, mail in enumerate(mails) if index not in late])
    now = parts.clock.now()
    await _count(parts.database, now)
    await past_traffic.write_mail(parts.database, [mails[index] for index in late])
    async with parts.database.write() as connection:
        for mail in chance.sample(mails, len(mails) // 5):
            to = Status.BOUNCED if mail.status is Status.SENT else Status.CANCELLED
            statement = update(Notification).where(_notification.id == mail.id).values(status=to, reason=None)
            await connection.execute(statement)
    await _count(parts.database, now + timedelta(days=2))
    await _assert_equal(parts.database, BERLIN)


async def test_any_order_of_interrupted_steps_counts_once(parts: wiring.ProcessParts) -> None:
    """Two processes count the same ranges, lose steps and write old ones late: each notification is counted once."""
    mails, chance, now = _invent(), random.Random(3), parts.clock.now()
    kept: list[list[CountedRange]] = []
    size = len(mails) // 9
    for start in range(0, len(mails), size):
        await past_traffic.write_mail(parts.database, mails[start : start + size])
        for _step in range(4):
            counted = await roll_up.count_due_ranges(parts.database, now)
            kept.append(counted)
            if chance.random() < 0.6:  # else it is lost, or written late
                await _write(parts.database, chance.choice(kept), now)
        now += timedelta(minutes=5)
    for counted in kept:
        await _write(parts.database, counted, now)
    await _count(parts.database, now + timedelta(days=2))
    await _assert_equal(parts.database, BERLIN)


async def test_an_interrupted_transaction_writes_nothing(parts: wiring.ProcessParts) -> None:
    """A step whose transaction is rolled back leaves ranges and counts as they were."""
    await past_traffic.write_mail(parts.database, _invent())
    now = parts.clock.now()
    await _write(parts.database, await roll_up.count_due_ranges(parts.database, now), now)  # the ids before all mail
    counted = await roll_up.count_due_ranges(parts.database, now)
    async with parts.database.write() as connection:
        assert await roll_up.write_counted_ranges(connection, counted, parts.clock.now())
        await connection.rollback()
    assert await _list_counts(parts.database) == {}
    await _count(parts.database, parts.clock.now())
    await _assert_equal(parts.database, BERLIN)


async def test_what_was_purged_stays_counted(parts: wiring.ProcessParts) -> None:
    """After the notifications are deleted their counts are as before."""
    await past_traffic.write_mail(parts.database, _invent())
    now = parts.clock.now()
    await _count(parts.database, now)
    before = await _list_counts(parts.database)
    async with parts.database.write() as connection:
        await connection.execute(delete(Attempt))
        await connection.execute(delete(Notification))
    await _count(parts.database, now + timedelta(days=2))
    assert await _list_counts(parts.database) == before


async def test_mail_after_a_pause_takes_nothing_from_purged_mail(parts: wiring.ProcessParts) -> None:
    """The last range grows again after its notifications were purged: the old and the new ones are counted."""
    at = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
    old = [PastMail(UUID(int=get_first_id(at).int + n), SHOP, None, at, Status.SENT, None, 1.0) for n in range(5)]
    await past_traffic.write_mail(parts.database, old)
    await _count(parts.database, at + timedelta(minutes=1))
    async with parts.database.write() as connection:
        await connection.execute(delete(Attempt))
        await connection.execute(delete(Notification))
    for number, later in enumerate([at + timedelta(days=9), at + timedelta(days=9, minutes=30)], start=1):
        new = PastMail(get_first_id(later), SHOP, None, later, Status.SENT, None, 1.0)
        await past_traffic.write_mail(parts.database, [new])
        await _count(parts.database, later + timedelta(minutes=1))
        for day, total in ((at.date(), 5), (later.date(), number)):
            assert (await _get_day(parts.database, day, ZoneInfo("UTC"), StatisticsFilter())).sent == total


async def test_old_counts_are_deleted_and_the_last_range_stays(parts: wiring.ProcessParts) -> None:
    """After 800 days the counts are gone; new mail is counted all the same."""
    await past_traffic.write_mail(parts.database, _invent(300))
    now = parts.clock.now()
    await _count(parts.database, now)
    later = now + timedelta(days=2000)
    async with parts.database.write() as connection:
        while await roll_up.delete_old_ranges(connection, later):
            pass
        assert await connection.scalar(select(func.count()).select_from(StatisticsRange)) == 1
    at = later.replace(microsecond=0)
    new = PastMail(get_first_id(at), SHOP, None, at, Status.SENT, None, 1.0)
    await past_traffic.write_mail(parts.database, [new])
    await _count(parts.database, later + timedelta(minutes=5))
    figures = await _get_day(parts.database, at.date(), ZoneInfo("UTC"), StatisticsFilter())
    assert (figures.total, figures.sent) == (1, 1)


async def test_a_quarter_of_an_hour_begins_at_its_first_microsecond(parts: wiring.ProcessParts) -> None:
    """A mail of the last microsecond of a day belongs to that day, on both databases."""
    midnight = datetime(2026, 10, 24, tzinfo=UTC)
    for moment in (midnight - timedelta(microseconds=1), midnight):
        mail = PastMail(generate_id(), SHOP, None, moment, Status.QUEUED, None, None)
        await past_traffic.write_mail(parts.database, [mail])
    await _count(parts.database, parts.clock.now())
    for day in (date(2026, 10, 23), date(2026, 10, 24)):
        assert (await _get_day(parts.database, day, ZoneInfo("UTC"), StatisticsFilter())).total == 1


async def _list_counts(database: Database) -> dict[tuple[object, ...], int]:
    async with database.read() as connection:
        rows = await connection.execute(select(*get_columns(StatisticsCount)))
        return {tuple(row)[:-1]: int(tuple(row)[-1]) for row in rows}
