"""Notifications of past days, written as rows, and a count over these rows by which statistics are judged."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select

from notifier.db.engine import Database
from notifier.db.tables import Attempt, Notification, get_columns
from notifier.ids import get_first_id
from notifier.outcomes import OutcomeName, SmtpPhase
from notifier.states import Category, KeyKind, Priority, Reason, Role, Status
from support.run_selection import EVERYTHING

MAILS = 900 if EVERYTHING else 360
"""How many mails a test invents."""
STATUSES = (
    *[Status.SENT] * 12,
    *[Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED, Status.EXPIRED, Status.SUPPRESSED],
    *[Status.QUEUED, Status.DEFERRED, Status.UNKNOWN, Status.CANCELLED],
    *[Status.FAILED] * 3,
)
LEFT = (Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED)
_REASONS = {Status.FAILED: (Reason.RECIPIENT_REFUSED, Reason.MESSAGE_REFUSED), Status.EXPIRED: (Reason.EXPIRED,)}
_notification, _attempt = get_columns(Notification), get_columns(Attempt)


@dataclass(frozen=True)
class PastMail:
    """One notification of a past day."""

    id: UUID
    service_id: UUID
    template_id: UUID | None
    created_at: datetime
    status: Status
    reason: Reason | None
    seconds: float | None  # until the 250
    kind: KeyKind = KeyKind.LIVE


def invent_mail(
    start: datetime,
    stop: datetime,
    number: int,
    services: Sequence[UUID],
    *,
    templates: Sequence[UUID | None] = (None,),
) -> list[PastMail]:
    """Invent mails of that time, the same ones each time."""
    chance = random.Random(number)
    mails = []
    for index in range(number):
        at = start + (stop - start) * chance.random()
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        status = chance.choice(STATUSES)
        mails.append(
            PastMail(
                id=UUID(int=get_first_id(at).int + index),
                service_id=chance.choice(services),
                template_id=chance.choice(templates),
                created_at=at,
                status=status,
                reason=chance.choice(_REASONS[status]) if status in _REASONS else None,
                seconds=round(chance.expovariate(0.2), 3) if status in LEFT else None,
                kind=KeyKind.TEST if chance.random() < 0.1 else KeyKind.LIVE,
            )
        )
    return mails


async def write_mail(database: Database, mails: Iterable[PastMail]) -> None:
    """Write the rows of these mails, and of their attempts."""
    listed = list(mails)
    attempts = [
        _build_attempt(mail, number, outcome, seconds)
        for mail in listed
        if mail.seconds is not None
        for number, (outcome, seconds) in enumerate(
            ((OutcomeName.DEFERRED, 0.0), (OutcomeName.ACCEPTED, mail.seconds)), start=1
        )
    ]
    async with database.write() as connection:
        await connection.execute(insert(Notification), [_build_row(mail) for mail in listed])
        if attempts:
            await connection.execute(insert(Attempt), attempts)


def _build_row(mail: PastMail) -> dict[str, Any]:
    at = mail.created_at
    address = "ada@example.com"
    return {
        "id": mail.id,
        "service_id": mail.service_id,
        "template_id": mail.template_id,
        "role": Role.TO,
        "kind": mail.kind,
        "category": Category.TRANSACTIONAL,
        "recipient": address,
        "address_key": address,
        "from_address": address,
        "envelope_from": address,
        "priority": Priority.NORMAL,
        "status": mail.status,
        "reason": mail.reason,
        "sequence": 1,
        "message_id": f"<{mail.id.hex}@example.com>",
        "message_date": at,
        "send_at": at,
        "expires_at": at + timedelta(days=3),
        "created_at": at,
        "updated_at": at,
        "created_by": "test",
    }


def _build_attempt(mail: PastMail, number: int, outcome: OutcomeName, seconds: float) -> dict[str, Any]:
    duration = int(seconds * 1000) // 2
    return {
        "id": UUID(int=mail.id.int + (number << 70)),
        "notification_id": mail.id,
        "entry_id": mail.id,
        "lease_no": number,
        "number": number,
        "phase": SmtpPhase.BODY,
        "outcome": outcome,
        "reply": "ok",
        "started_at": mail.created_at + timedelta(seconds=seconds, milliseconds=-duration),
        "duration_ms": duration,
    }


@dataclass(frozen=True)
class DayCount:
    """What a count over the rows finds for one day of a zone."""

    statuses: Counter[Status]
    reasons: Counter[str]
    seconds: list[float]  # until the 250, in order


async def count_rows(database: Database, day: date, zone: ZoneInfo, service_id: UUID | None = None) -> DayCount:
    """Read all notifications, and count those that were created on that day in the zone; those of test keys not."""
    query = select(_notification.id, _notification.status, _notification.reason, _notification.created_at).where(
        _notification.kind != KeyKind.TEST
    )
    if service_id is not None:
        query = query.where(_notification.service_id == service_id)
    accepted = select(_attempt.notification_id, _attempt.started_at, _attempt.duration_ms, _notification.send_at).join(
        Notification, _notification.id == _attempt.notification_id
    )
    async with database.read() as connection:
        rows = [row for row in await connection.execute(query) if row.created_at.astimezone(zone).date() == day]
        times = list(await connection.execute(accepted.where(_attempt.outcome == OutcomeName.ACCEPTED)))
    wanted = {row.id for row in rows if row.status in LEFT}
    seconds = sorted(
        round((row.started_at - row.send_at).total_seconds() + row.duration_ms / 1000, 3)
        for row in times
        if row.notification_id in wanted
    )
    failed = [row for row in rows if row.status in (Status.FAILED, Status.EXPIRED)]
    return DayCount(
        statuses=Counter(row.status for row in rows),
        reasons=Counter(str(row.reason) for row in failed),
        seconds=seconds,
    )


def at(day: date, hour: int, zone: ZoneInfo) -> datetime:
    """A time of day in a zone, in UTC."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=zone).astimezone(UTC)
