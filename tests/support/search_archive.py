"""Some hundred notifications of two services, in a database and in memory, to compare searches."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.auth import service_admin
from notifier.db.engine import Database
from notifier.db.tables import (
    Notification,
    NotificationTag,
    OutboxEntry,
    StatusIndex,
    Template,
    TemplateVersion,
    get_columns,
)
from notifier.ids import generate_id, get_first_id
from notifier.states import (
    INDEXED_STATUSES,
    WAITING_STATUSES,
    Category,
    EntryKind,
    EntryState,
    KeyKind,
    Priority,
    Role,
    Status,
)

SKEW = timedelta(minutes=119)
"""Maximum difference between the database's clock and that of a host, which gives an id its time."""
SERVICES = ("shop", "other")
READERS = ("Ada@example.com", "bob@example.com", "carol@example.org", "d'arcy+x@example.org")
TAGS = ("order", "invoice", "Order", "ü mlaut")
_SPAN = timedelta(days=20)
_template, _version = get_columns(Template), get_columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class ArchivedMail:
    """The searchable fields of a notification."""

    id: UUID
    service: str
    status: Status
    to: str
    template: str | None
    tags: tuple[str, ...]
    batch_id: UUID | None
    created_at: datetime
    send_at: datetime
    is_copy: bool

    def passes(self, query: Mapping[str, Any], now: datetime) -> bool:
        """True if the notification matches all filters of a query."""
        status = "scheduled" if self.status is Status.QUEUED and self.send_at > now else self.status.value
        return all(
            (
                query.get("status") in (None, status),
                "to" not in query or query["to"].lower() == self.to.lower(),
                query.get("template") in (None, self.template),
                "tag" not in query or query["tag"] in self.tags,
                query.get("batch_id") in (None, str(self.batch_id)),
                "created_after" not in query or self.created_at >= datetime.fromisoformat(query["created_after"]),
                "created_before" not in query or self.created_at < datetime.fromisoformat(query["created_before"]),
                query.get("copies") == "true" or not self.is_copy,
            )
        )


@dataclass(kw_only=True)
class Archive:
    """A database, and the same rows as a list."""

    database: Database
    draw: random.Random = field(default_factory=lambda: random.Random(7))
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    rows: list[ArchivedMail] = field(default_factory=list)
    services: tuple[str, ...] = SERVICES  # more than once: drawn more often
    batches: list[UUID] = field(default_factory=lambda: [generate_id() for _ in range(6)])

    async def add(self, count: int, *, since: timedelta = _SPAN) -> None:
        """Add so many notifications, at random moments since then."""
        async with self.database.write() as connection:
            versions = await _versions(connection)
            services = {name: await service_admin.find_service(connection, name) for name in set(self.services)}
            drawn = [self._drawn(since, [None, *versions]) for _ in range(count)]
            for row in drawn:
                await _write(connection, row, services[row.service], versions.get(row.template))
        self.rows += drawn

    def expected(self, service: str | None, query: Mapping[str, Any]) -> list[str]:
        """The ids that a search of a service, or of all services, must return, newest first."""
        ids = [row.id for row in self.rows if service in (None, row.service) and row.passes(query, self.now)]
        return [str(id_) for id_ in sorted(ids, reverse=True)]

    def values(self) -> dict[str, list[str]]:
        """For each filter all existing values and one that does not exist."""
        times = [self.draw.choice(self.rows).created_at for _ in range(4)]
        return {
            "status": ["scheduled", *Status],
            "to": [*READERS, "ADA@Example.com", "nobody@example.com", "no address"],
            "template": ["welcome", "order_shipped", "password_reset", "no_such"],
            "tag": [*TAGS, "ORDER", "%"],
            "batch_id": [str(id_) for id_ in (*self.batches, generate_id())],
            "created_after": [time.isoformat() for time in (*times, self.now + timedelta(days=1))],
            "created_before": [time.isoformat() for time in (*times, self.now - 2 * _SPAN)],
            "copies": ["true", "false"],
        }

    def queries(self, pairs: int) -> Iterator[dict[str, str]]:
        """No filter, each value alone, and so many random pairs of filters."""
        values = self.values()
        yield {}
        yield from ({name: value} for name, choices in values.items() for value in choices)
        for _ in range(pairs):
            yield {name: self.draw.choice(values[name]) for name in self.draw.sample(list(values), 2)}

    def _drawn(self, since: timedelta, slugs: list[str | None]) -> ArchivedMail:
        draw = self.draw
        created = self.now - since * draw.random()
        made = created + SKEW * draw.uniform(-1, 1)
        status = draw.choice([*Status, *[Status.SENT] * 9, *[Status.QUEUED] * 3])
        batch = draw.choice([None, None, *self.batches])
        return ArchivedMail(
            id=UUID(int=get_first_id(made).int | draw.getrandbits(62)),
            service=(
                self.services[self.batches.index(batch) % len(self.services)]
                if batch
                else draw.choice([*self.services, self.services[0]])
            ),
            status=status,
            to=draw.choice(READERS),
            template=draw.choice(slugs),
            tags=tuple(draw.sample(TAGS, draw.choice((0, 0, 1, 2)))),
            batch_id=batch,
            created_at=created,
            send_at=created + draw.choice((timedelta(0), timedelta(days=30))),
            is_copy=draw.random() < 0.15,
        )


async def _versions(connection: AsyncConnection) -> dict[str | None, tuple[UUID, UUID]]:
    """The ids of the searched templates and of a version."""
    query = select(_template.slug, _template.id, _version.id).join(
        TemplateVersion, _version.template_id == _template.id
    )
    rows = await connection.execute(query.where(_template.slug.in_(("welcome", "order_shipped", "password_reset"))))
    return {slug: (id_, version) for slug, id_, version in rows}


async def _write(
    connection: AsyncConnection, row: ArchivedMail, service_id: UUID, template: tuple[UUID, UUID] | None
) -> None:
    """Write the notification as the product would have."""
    template_id, version_id = template or (None, None)
    notification = {
        "id": row.id,
        "service_id": service_id,
        "template_id": template_id,
        "template_version_id": version_id,
        "batch_id": row.batch_id,
        "parent_id": generate_id() if row.is_copy else None,
        "role": Role.CC if row.is_copy else Role.TO,
        "kind": KeyKind.LIVE,
        "category": Category.TRANSACTIONAL,
        "recipient": row.to,
        "address_key": email_address.get_address_key(row.to),
        "from_address": "notifier@instance.example",
        "envelope_from": "notifier@instance.example",
        "priority": Priority.NORMAL,
        "status": row.status,
        "sequence": 0,
        "message_id": f"<{row.id.hex}@instance.example>",
        "message_date": row.created_at,
        "send_at": row.send_at,
        "expires_at": row.send_at + timedelta(days=3),
        "created_at": row.created_at,
        "updated_at": row.created_at,
        "created_by": "key:test",
        "tags": list(row.tags) or None,
    }
    await connection.execute(insert(Notification).values(notification))
    for tag in row.tags:
        tagged = {"service_id": service_id, "tag": tag, "notification_id": row.id}
        await connection.execute(insert(NotificationTag).values(tagged))
    if row.status in INDEXED_STATUSES:
        listed = {"notification_id": row.id, "service_id": service_id, "status": row.status}
        await connection.execute(insert(StatusIndex).values(listed))
    if row.status in WAITING_STATUSES:
        tried = row.status is not Status.QUEUED
        entry = {
            "id": generate_id(),
            "kind": EntryKind.EMAIL,
            "subject_id": row.id,
            "service_id": service_id,
            "priority": Priority.NORMAL,
            "state": EntryState.HELD if row.status is Status.UNKNOWN else EntryState.READY,
            "due_at": row.send_at,
            "lease_no": int(tried),
            "attempts": int(tried),
            "lost": 0,
            "faults": 0,
        }
        await connection.execute(insert(OutboxEntry).values(entry))
