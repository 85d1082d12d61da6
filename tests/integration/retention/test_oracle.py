"""Random mails under random settings: nothing is gone early, and nothing is kept longer than it should be."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from support.aged_rows import AgedMail, AgedRows
from support.purge_runs import run_purge

from notifier.db.engine import Database
from notifier.db.tables import Notification, NotificationContent
from notifier.retention.retention_policy import RetentionPolicy
from notifier.retention_settings import RetentionSettings
from notifier.states import Status

FAMILIES = 60
WAITING = (Status.QUEUED, Status.DEFERRED, Status.UNKNOWN)
ENDED = (Status.SENT, Status.FAILED, Status.EXPIRED, Status.CANCELLED, Status.DELIVERED, Status.UNKNOWN)


@dataclass
class Expectation:
    """What the rules say about a family, in hours."""

    ids: list[UUID]
    waits: bool
    hours_since_end: float  # of the last one
    hours_since_key: float | None  # of the newest key
    content_hours: float
    notification_hours: float

    @property
    def keeps_content(self) -> bool:
        """Whether the content must still be there."""
        return self.waits or self.hours_since_end < self.content_hours

    def keeps_rows(self, key_hours: float) -> bool:
        """Whether the notifications must still be there."""
        has_key = self.hours_since_key is not None and self.hours_since_key < key_hours
        return self.keeps_content or self.hours_since_end < self.notification_hours or has_key


def _choose_age(chance: random.Random, *limits: float) -> float:
    """An age in hours: close to one of these limits, mostly, or any."""
    if chance.random() < 0.7:
        return max(0.0, chance.choice(limits) + chance.choice((-1.0, -0.01, 0.01, 1.0)))
    return chance.uniform(0, 2 * max(limits))


@pytest.mark.parametrize("seed", range(4))
async def test_a_purge_deletes_what_is_due_and_nothing_else(
    rows: AgedRows, database: Database, now: datetime, seed: int
) -> None:
    """After a purge the contents and notifications are exactly those that a plain count of hours expects."""
    chance = random.Random(seed)
    settings = RetentionSettings(
        content_days=chance.choice((0, 0.5, 7)),
        notification_days=chance.choice((0, 3, 20)),
        max_content_days=chance.choice((7, 15)),
        max_notification_days=chance.choice((20, 40)),
    )
    key_days = chance.choice((7, 9))
    policy = RetentionPolicy(settings=settings, key_lifetime=timedelta(days=key_days))
    service_days = [(None, None), (chance.choice((0, 2, 30)), None), (chance.choice((1, 10)), chance.choice((5, 90)))]
    services = [
        await rows.add_service(f"random-{number}", now, keep_content_days=content, keep_notification_days=kept)
        for number, (content, kept) in enumerate(service_days)
    ]
    template_days = [None, 0, 4]
    versions = [await rows.add_version(f"random-{days}", now, days=days) for days in template_days]
    expectations = []
    for _ in range(FAMILIES):
        which, version = chance.randrange(len(services)), chance.choice([None, 0, 1, 2])
        of_service, kept = service_days[which]
        of_template = template_days[version] if version is not None else None
        days = next(d for d in (of_template, of_service, settings.content_days) if d is not None)
        content_hours = 24 * min(days, settings.max_content_days)
        notification_hours = 24 * min(
            settings.notification_days if kept is None else kept, settings.max_notification_days
        )
        expectations.append(
            await _add_family(
                rows,
                chance,
                now,
                AgedMail(
                    service_id=services[which],
                    version_id=versions[version] if version is not None else None,
                    ended_at=now,
                ),
                (content_hours, notification_hours, 24 * key_days),
            )
        )
    await run_purge(database, policy, now)
    contents, notifications = (
        await rows.list_ids(NotificationContent, "notification_id"),
        await rows.list_ids(Notification),
    )
    assert contents == {e.ids[0] for e in expectations if e.keeps_content}
    assert notifications == {id_ for e in expectations if e.keeps_rows(24 * key_days) for id_ in e.ids}


async def _add_family(
    rows: AgedRows, chance: random.Random, now: datetime, mail: AgedMail, hours: tuple[float, float, float]
) -> Expectation:
    """Write a notification with up to two copies."""
    content_hours, notification_hours, key_hours = hours
    expected = Expectation(
        ids=[],
        waits=False,
        hours_since_end=float("inf"),
        hours_since_key=None,
        content_hours=content_hours,
        notification_hours=notification_hours,
    )
    for number in range(chance.choice((1, 1, 1, 2, 3))):
        waits = chance.random() < 0.15
        age = _choose_age(chance, content_hours, notification_hours)
        created = max(age, _choose_age(chance, key_hours, age)) if chance.random() < 0.5 else age + 1
        key = f"key-{chance.random()}" if number == 0 and chance.random() < 0.4 else None
        member = AgedMail(
            service_id=mail.service_id,
            version_id=mail.version_id,
            ended_at=now - timedelta(hours=age),
            created_at=now - timedelta(hours=created),
            status=chance.choice(WAITING) if waits else chance.choice(ENDED),
            has_entry=waits,
            parent_id=expected.ids[0] if number else None,
            key=key,
        )
        expected.ids.append(await rows.add_mail(member))
        expected.waits |= waits
        expected.hours_since_end = min(expected.hours_since_end, age)
        expected.hours_since_key = created if key else expected.hours_since_key
    return expected
