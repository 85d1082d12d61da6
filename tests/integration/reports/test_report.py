"""The daily report: its figures, that it is sent once, and what is refused when its schedule is saved."""

import dataclasses
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from support import past_traffic
from support.job_runner import JobRunner
from support.manual_clock import ManualClock

from notifier import suppression
from notifier.audit import Actor
from notifier.auth import service_admin
from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, Notification, NotificationContent, get_columns
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import NewEntry
from notifier.reports.report_variables import REASON_WORDS, format_seconds
from notifier.runtime import wiring
from notifier.states import (
    EntryKind,
    JobKind,
    JobState,
    Priority,
    Reason,
    Status,
    SuppressionReason,
    SuppressionScope,
)
from notifier.statistics.latency_histogram import estimate_quantile, find_bucket
from notifier.suppression import NewSuppression

BERLIN = ZoneInfo("Europe/Berlin")
WELCOME = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}
YESTERDAY = date(2026, 10, 25)
"""A day of 25 hours."""
PLANNED = past_traffic.at(date(2026, 10, 26), 9, BERLIN)
OPTIONS = {"to": "ops@example.com", "zone": "Europe/Berlin"}
KEY = "schedule:daily:2026-10-26T08:00:00Z"
_notification, _content = get_columns(Notification), get_columns(NotificationContent)


@pytest.fixture
def runner(parts: wiring.ProcessParts) -> JobRunner:
    """A process whose clock shows the planned time."""
    return JobRunner(dataclasses.replace(parts, clock=ManualClock(PLANNED)))


async def _find_service(database: Database, name: str) -> UUID:
    async with database.read() as connection:
        return await service_admin.find_service(connection, name)


async def _write_traffic(database: Database) -> tuple[UUID, UUID]:
    """Write nine days of mail of two services."""
    shop, other = await _find_service(database, "shop"), await _find_service(database, "other")
    start = past_traffic.at(YESTERDAY - timedelta(days=8), 0, BERLIN)
    stop = past_traffic.at(YESTERDAY + timedelta(days=1), 8, BERLIN)
    await past_traffic.write_mail(database, past_traffic.invent_mail(start, stop, past_traffic.MAILS, [shop, other]))
    return shop, other


async def _list_reports(database: Database) -> list[Any]:
    query = select(*_notification, _content.variables).join(
        NotificationContent, _content.notification_id == _notification.id
    )
    async with database.read() as connection:
        return list(await connection.execute(query.where(_notification.idempotency_key.is_not(None))))


def _count_sent(statuses: Counter[Status]) -> int:
    return sum(statuses[status] for status in past_traffic.LEFT)


async def _assert_figures(database: Database, variables: dict[str, Any], service_id: UUID | None) -> None:
    """Compare each number of the report with a count over the rows."""
    counted = [
        await past_traffic.count_rows(database, YESTERDAY - timedelta(days=back), BERLIN, service_id)
        for back in range(7, -1, -1)
    ]
    now, before = counted[-1], counted[0]
    metrics = {metric["label"]: metric for metric in variables["metrics"]}
    numbers = {
        "Sent": [_count_sent(each.statuses) for each in (now, before)],
        "Failed": [each.statuses[Status.FAILED] + each.statuses[Status.EXPIRED] for each in (now, before)],
        "Bounced": [each.statuses[Status.BOUNCED] for each in (now, before)],
        "Complained": [each.statuses[Status.COMPLAINED] for each in (now, before)],
    }
    for label, (today, week_ago) in numbers.items():
        assert metrics[label]["value"] == str(today), label
        trend = "up" if today > week_ago else "down" if today < week_ago else "same"
        assert metrics[label]["trend"] == trend, label
    buckets = Counter(map(find_bucket, now.seconds))
    for label, quantile in (("Half accepted in", 0.5), ("95 % accepted in", 0.95)):
        assert metrics[label]["value"] == format_seconds(estimate_quantile(buckets, quantile)), label
    assert [day["value"] for day in variables["days"]] == [str(_count_sent(each.statuses)) for each in counted[1:]]
    assert [day["label"] for day in variables["days"]] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    reasons = {row["label"]: row["value"] for row in variables["top"]["rows"]}
    assert reasons == {REASON_WORDS[Reason(reason)]: str(number) for reason, number in now.reasons.items()}


async def test_the_figures_equal_a_count_over_the_rows(runner: JobRunner) -> None:
    """A service's report has its own figures of yesterday, which has 25 hours, and of the seven days."""
    database = runner.parts.database
    shop, _ = await _write_traffic(database)
    run_id = await runner.begin(JobKind.REPORT, OPTIONS, PLANNED, service_id=shop)
    await runner.run_due()
    run = await runner.get_run(run_id)
    assert (run.state, run.error) == (JobState.SUCCEEDED, None)
    assert run.counts["notifications"] == 1
    (report,) = await _list_reports(database)
    assert (report.service_id, report.recipient, report.status) == (shop, "ops@example.com", Status.QUEUED)
    assert (report.idempotency_key, report.created_by) == (KEY, "schedule:daily")
    assert (report.variables["product"], report.variables["date"]) == ("shop", "Sunday 25 October")
    assert report.variables["compared_to"] == "Sunday 18 October"
    await _assert_figures(database, report.variables, shop)


async def test_a_report_of_the_instance_has_all_services(runner: JobRunner) -> None:
    """A schedule of the instance names the service that sends; the figures are those of all services."""
    database = runner.parts.database
    _, other = await _write_traffic(database)
    await runner.begin(JobKind.REPORT, OPTIONS | {"service": "other"}, PLANNED)
    await runner.run_due()
    (report,) = await _list_reports(database)
    assert (report.service_id, report.variables["product"]) == (other, "Notifier")
    await _assert_figures(database, report.variables, None)


async def test_a_change_since_the_last_count_is_in_the_report(runner: JobRunner) -> None:
    """The report counts its days again: a bounce that the roll-up has not seen is in it."""
    database = runner.parts.database
    shop, _ = await _write_traffic(database)
    await runner.begin(JobKind.STATISTICS, {}, PLANNED, name="statistics")
    await runner.run_due()
    async with database.write() as connection:
        sent = _notification.status == Status.SENT
        await connection.execute(Notification.__table__.update().where(sent).values(status=Status.BOUNCED))  # type: ignore[attr-defined]
    clock = runner.parts.clock
    assert isinstance(clock, ManualClock)
    clock.advance(30)
    await runner.begin(JobKind.REPORT, OPTIONS, PLANNED, service_id=shop)
    await runner.run_due()
    (report,) = await _list_reports(database)
    await _assert_figures(database, report.variables, shop)


async def test_a_repeated_run_of_the_same_time_sends_once(runner: JobRunner) -> None:
    """Two runs for the same planned time submit one mail; of another schedule with this name, the run fails."""
    database = runner.parts.database
    shop, _ = await _write_traffic(database)
    first = await runner.begin(JobKind.REPORT, OPTIONS, PLANNED, service_id=shop)
    await runner.run_due()
    again = await runner.begin(JobKind.REPORT, OPTIONS | {"service": "shop"}, PLANNED)
    await runner.run_due()
    assert (await runner.get_run(first)).state is JobState.SUCCEEDED
    run = await runner.get_run(again)
    assert run.state is JobState.FAILED
    assert f"has the idempotency key {KEY}" in str(run.error)
    assert len(await _list_reports(database)) == 1


async def test_a_report_says_what_waits_now(runner: JobRunner) -> None:
    """Mail that is due, scheduled or held is counted; that of other services is not."""
    database = runner.parts.database
    shop, other = await _find_service(database, "shop"), await _find_service(database, "other")
    for service_id, hours in ((shop, -1), (shop, -2), (shop, 5), (other, -1)):
        entry = NewEntry(
            id=generate_id(),
            kind=EntryKind.EMAIL,
            subject_id=generate_id(),
            service_id=service_id,
            priority=Priority.NORMAL,
            due_at=PLANNED + timedelta(hours=hours),
        )
        async with database.write() as connection:
            await entry_store.enqueue_entries(connection, [entry])
    await runner.begin(JobKind.REPORT, OPTIONS, PLANNED, service_id=shop)
    await runner.begin(JobKind.REPORT, OPTIONS | {"service": "other"}, PLANNED, name="all")
    await runner.run_due()
    waiting = {
        row.service_id: [fact["value"] for fact in row.variables["facts"]["rows"]]
        for row in await _list_reports(database)
    }
    assert waiting[shop] == ["2", "1", "0"]
    assert waiting[other][1:] == ["1", "0"]


async def test_a_report_without_mail_says_so(runner: JobRunner) -> None:
    """A service that sent nothing gets a report with zeros, no times and no reasons."""
    shop = await _find_service(runner.parts.database, "shop")
    await runner.begin(JobKind.REPORT, OPTIONS, PLANNED, service_id=shop)
    await runner.run_due()
    (report,) = await _list_reports(runner.parts.database)
    assert report.variables["summary"].startswith("Nothing was submitted.")
    assert [metric["trend"] for metric in report.variables["metrics"]] == ["same"] * 4 + ["none"] * 2
    assert "top" not in report.variables


async def test_a_run_whose_template_is_gone_fails_with_a_sentence(runner: JobRunner) -> None:
    """What a submit would refuse fails the run, and nothing is written."""
    shop = await _find_service(runner.parts.database, "shop")
    run_id = await runner.begin(JobKind.REPORT, OPTIONS | {"template": "nothing"}, PLANNED, service_id=shop)
    await runner.run_due()
    run = await runner.get_run(run_id)
    assert run.state is JobState.FAILED
    assert run.error == "the mail was refused, as a submit would be: /template: there is no template 'nothing'"
    assert await _list_reports(runner.parts.database) == []


# -- notify ------------------------------------------------------------------------------------------------------------


async def test_notify_submits_one_notification(runner: JobRunner) -> None:
    """The notification has the options of the schedule; a run killed before its commit leaves nothing."""
    database = runner.parts.database
    shop = await _find_service(database, "shop")
    options = WELCOME | {"cc": ["bob@example.com"], "tags": ["nightly"], "priority": "high", "from": "a@shop.example"}
    run_id = await runner.begin(JobKind.NOTIFY, options, PLANNED, service_id=shop)
    await runner.run_due()
    run = await runner.get_run(run_id)
    assert (run.state, run.error) == (JobState.SUCCEEDED, None)
    (mail,) = await _list_reports(database)
    assert (mail.idempotency_key, mail.tags, mail.priority, mail.from_address) == (
        KEY,
        ["nightly"],
        "high",
        "a@shop.example",
    )
    async with database.read() as connection:
        rows = (await connection.execute(select(_notification.recipient))).scalars().all()
    assert sorted(rows) == ["ada@example.com", "bob@example.com"]


async def test_notify_to_a_suppressed_address_ends_well(runner: JobRunner) -> None:
    """The run succeeds, and its log says that the address is suppressed."""
    database = runner.parts.database
    shop = await _find_service(database, "shop")
    async with database.write() as connection:
        new = NewSuppression(
            address="ada@example.com",
            service_id=INSTANCE,
            scope=SuppressionScope.ALL,
            reason=SuppressionReason.REQUESTED,
            detail="",
            created_by="test",
            expires_at=None,
        )
        await suppression.add_suppression(connection, new, actor=Actor(name="test", at=datetime.now(UTC)))
    run_id = await runner.begin(JobKind.NOTIFY, WELCOME, PLANNED, service_id=shop)
    await runner.run_due()
    run = await runner.get_run(run_id)
    assert run.state is JobState.SUCCEEDED
    assert run.log[-1]["text"].endswith(": suppressed")
