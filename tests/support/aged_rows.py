"""Writes rows of any age straight into the database, as they are months after a mail was sent."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from notifier.db.engine import Database
from notifier.db.tables import (
    Attempt,
    Notification,
    NotificationContent,
    NotificationEvent,
    NotificationTag,
    Service,
    StatusIndex,
    Table,
    Template,
    TemplateVersion,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEvent,
    get_columns,
)
from notifier.db.tables.webhook import DeliveryState
from notifier.ids import generate_id, get_first_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import NewEntry
from notifier.outcomes import OutcomeName, SmtpPhase
from notifier.states import (
    INDEXED_STATUSES,
    Category,
    EntryKind,
    EventKind,
    KeyKind,
    Priority,
    Role,
    Status,
    WhenUncertain,
)

DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class AgedMail:
    """A notification to be written."""

    service_id: UUID
    ended_at: datetime  # the last change of its status
    status: Status = Status.SENT
    created_at: datetime | None = None  # None: an hour before the end
    parent_id: UUID | None = None
    version_id: UUID | None = None
    batch_id: UUID | None = None
    key: str | None = None
    has_content: bool = True
    has_entry: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)
    attachments: Sequence[Mapping[str, Any]] | None = None
    tags: Sequence[str] = ()
    attempts: int = 1
    events: int = 0


def generate_id_of(time: datetime) -> UUID:
    """Generate an id as a host generates it at this time."""
    return UUID(int=get_first_id(time).int | int.from_bytes(os.urandom(7), "big"))


class AgedRows:
    """Writes rows of any age."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_service(self, name: str = "shop") -> UUID:
        """Get the id of a seeded service."""
        columns = get_columns(Service)
        async with self._database.read() as connection:
            return UUID(str((await connection.execute(select(columns.id).where(columns.name == name))).scalar_one()))

    async def add_service(self, name: str, at: datetime, **days: int | None) -> UUID:
        """Write a service that keeps its data for these days."""
        row = {"id": generate_id(), "name": name, "from_domains": [], "created_at": at} | days
        await self._insert(Service, [row])
        return UUID(str(row["id"]))

    async def add_version(
        self, slug: str, at: datetime, *, days: int | None = None, secret: Sequence[str] = ()
    ) -> UUID:
        """Write a template with one version."""
        template, version = generate_id(), generate_id()
        await self._insert(Template, [{"id": template, "slug": slug, "current_number": 1, "created_at": at}])
        files = {"subject.txt": "Hello", "body.html": "<p>Hello {{ link }}</p>"}
        row = {
            "id": version,
            "template_id": template,
            "number": 1,
            "content_hash": "0" * 64,
            "source": {"files": files, "sample": {"link": "x"}, "settings": {"name": "A", "secret": list(secret)}},
            "variables_schema": {},
            "subject_variables": [],
            "category": Category.TRANSACTIONAL,
            "priority": Priority.NORMAL,
            "when_uncertain": WhenUncertain.RESEND,
            "keep_content_days": days,
            "published_by": "test",
            "published_at": at,
        }
        await self._insert(TemplateVersion, [row])
        return version

    async def add_mail(self, mail: AgedMail) -> UUID:
        """Write a notification with its content, attempts, events, tags and entry."""
        return (await self.add_mails([mail]))[0]

    async def add_mails(self, mails: Sequence[AgedMail]) -> list[UUID]:
        """Write notifications, a few hundred at a time."""
        ids = [generate_id_of(mail.created_at or mail.ended_at - timedelta(hours=1)) for mail in mails]
        pairs = list(zip(ids, mails, strict=True))
        await self._insert(Notification, [_build_notification(id_, mail) for id_, mail in pairs])
        contents = [(id_, mail) for id_, mail in pairs if mail.has_content and mail.parent_id is None]
        await self._insert(NotificationContent, [_build_content(id_, mail) for id_, mail in contents])
        await self._insert(Attempt, [_build_attempt(id_, mail, n) for id_, mail in pairs for n in range(mail.attempts)])
        await self._insert(
            NotificationEvent, [_build_event(id_, mail) for id_, mail in pairs for _ in range(mail.events)]
        )
        await self._insert(
            NotificationTag,
            [{"service_id": m.service_id, "tag": tag, "notification_id": id_} for id_, m in pairs for tag in m.tags],
        )
        indexed = [(id_, mail) for id_, mail in pairs if mail.status in INDEXED_STATUSES]
        await self._insert(
            StatusIndex,
            [{"notification_id": id_, "service_id": mail.service_id, "status": mail.status} for id_, mail in indexed],
        )
        entries = [_build_entry(id_, mail) for id_, mail in pairs if mail.has_entry]
        async with self._database.write() as connection:
            await entry_store.enqueue_entries(connection, entries)
        return ids

    async def add_delivery(
        self, service_id: UUID, at: datetime, *, ended_at: datetime | None, attempts: int = 1
    ) -> tuple[UUID, UUID]:
        """Write a webhook event with a delivery; returns both ids."""
        event, delivery = generate_id_of(at), generate_id_of(at)
        common = {"service_id": service_id, "type": "notification.sent"}
        await self._insert(WebhookEvent, [common | {"id": event, "sequence": 1, "at": at}])
        state = DeliveryState.DELIVERED if ended_at else DeliveryState.PENDING
        row = common | {"id": delivery, "event_id": event, "endpoint_id": UUID(int=1), "body": "{}", "state": state}
        await self._insert(WebhookDelivery, [row | {"created_at": at, "ended_at": ended_at}])
        tries = [
            {"id": generate_id_of(at), "delivery_id": delivery, "number": n, "at": at, "duration_ms": 1, "detail": ""}
            for n in range(attempts)
        ]
        await self._insert(WebhookAttempt, tries)
        return event, delivery

    async def list_ids(self, table: type[Table], column: str = "id") -> set[Any]:
        """List the ids in a table."""
        async with self._database.read() as connection:
            return set((await connection.execute(select(get_columns(table)[column]))).scalars())

    async def _insert(self, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows; a column that a row leaves out is NULL, where None would be JSON's null."""
        by_columns: dict[frozenset[str], list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            by_columns[frozenset(row)].append(dict(row))
        async with self._database.write() as connection:
            for group in by_columns.values():
                await connection.execute(insert(table), group)


def _build_notification(id_: UUID, mail: AgedMail) -> dict[str, Any]:
    created_at = mail.created_at or mail.ended_at - timedelta(hours=1)
    return {
        "id": id_,
        "service_id": mail.service_id,
        "template_id": None,
        "template_version_id": mail.version_id,
        "batch_id": mail.batch_id,
        "parent_id": mail.parent_id,
        "role": Role.CC if mail.parent_id else Role.TO,
        "kind": KeyKind.LIVE,
        "category": Category.TRANSACTIONAL,
        "recipient": "ada@example.com",
        "address_key": "ada@example.com",
        "from_address": "shop@shop.example",
        "envelope_from": "shop@shop.example",
        "priority": Priority.NORMAL,
        "status": mail.status,
        "sequence": 1,
        "message_id": f"<{id_}@notifier>",
        "message_date": created_at,
        "send_at": created_at,
        "expires_at": created_at + 3 * DAY,
        "created_at": created_at,
        "updated_at": mail.ended_at,
        "when_uncertain": WhenUncertain.RESEND,
        "created_by": "key:test",
        "idempotency_key": mail.key,
        "request_hash": b"\x00" * 32 if mail.key else None,
        "tags": list(mail.tags),
    }


def _build_content(id_: UUID, mail: AgedMail) -> dict[str, Any]:
    row: dict[str, Any] = {"notification_id": id_, "variables": dict(mail.variables), "headers": {}}
    if mail.version_id is None:
        row["content"] = {"subject": "Hello", "html": "<p>Hello</p>", "text": None}
    return row | ({"attachments": [dict(file) for file in mail.attachments]} if mail.attachments is not None else {})


def _build_attempt(id_: UUID, mail: AgedMail, number: int) -> dict[str, Any]:
    return {
        "id": generate_id_of(mail.ended_at),
        "notification_id": id_,
        "entry_id": generate_id(),
        "lease_no": 1,
        "number": number + 1,
        "phase": SmtpPhase.DATA,
        "outcome": OutcomeName.ACCEPTED,
        "reply": "250 ok",
        "started_at": mail.ended_at,
    }


def _build_event(id_: UUID, mail: AgedMail) -> dict[str, Any]:
    return {
        "id": generate_id_of(mail.ended_at),
        "notification_id": id_,
        "at": mail.ended_at,
        "kind": EventKind.CHANGED,
        "actor": "key:test",
        "detail": "",
    }


def _build_entry(id_: UUID, mail: AgedMail) -> NewEntry:
    return NewEntry(
        id=generate_id(),
        kind=EntryKind.EMAIL,
        subject_id=id_,
        service_id=mail.service_id,
        priority=Priority.NORMAL,
        due_at=mail.ended_at + 3650 * DAY,
    )
