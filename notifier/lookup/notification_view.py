"""Views of notifications: one with its attempts or its timeline, several by their ids, those that wait for a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import (
    Attempt,
    Notification,
    NotificationEvent,
    OutboxEntry,
    Service,
    Template,
    TemplateVersion,
    get_columns,
)
from notifier.errors import NotFoundError
from notifier.outbox import entry_store
from notifier.outcomes import OutcomeName, SmtpPhase
from notifier.smtp.enhanced_codes import get_meaning
from notifier.states import (
    WAITING_STATUSES,
    Category,
    EntryState,
    KeyKind,
    Priority,
    Reason,
    Role,
    Status,
    WhenUncertain,
)

_notification, _attempt, _entry = get_columns(Notification), get_columns(Attempt), get_columns(OutboxEntry)
_template, _version = get_columns(Template), get_columns(TemplateVersion)
_event, _service = get_columns(NotificationEvent), get_columns(Service)
MAX_ATTEMPTS_SHOWN = 200  # the newest attempts of one notification
MAX_EVENTS_SHOWN = 200  # the newest actions of people and callers


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One attempt, as people see it."""

    number: int  # position among the attempts of the notification, from 1
    started_at: datetime
    duration_ms: int | None  # None, like the relay, if the sender died
    relay: str | None
    phase: SmtpPhase
    outcome: OutcomeName
    code: int | None
    enhanced_code: str | None
    reply: str

    @property
    def meaning(self) -> str | None:
        """What the codes of a refusal mean, in words; None if they do not tell."""
        return get_meaning(self.code, self.enhanced_code)


@dataclass(frozen=True, kw_only=True)
class CopyView:
    """The same mail to another recipient."""

    id: UUID
    role: Role
    recipient: str
    status: Status
    send_at: datetime


@dataclass(frozen=True, kw_only=True)
class NotificationView:
    """A notification, as people see it."""

    id: UUID
    service_id: UUID
    service: str | None  # its name
    status: Status
    reason: Reason | None
    detail: str | None
    recipient: str
    role: Role
    parent_id: UUID | None
    batch_id: UUID | None
    kind: KeyKind
    category: Category
    template: str | None  # None, like its version: the request had its own content
    template_version: int | None
    template_version_id: UUID | None
    locale: str | None
    priority: Priority
    message_id: str
    tags: list[str] | None
    meta: dict[str, str] | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    send_at: datetime
    expires_at: datetime
    uncertain_at: datetime | None
    when_uncertain: WhenUncertain | None  # its own, or that of its template version
    due_at: datetime | None  # next try; None while one is under way, while it is held, and after the end
    entry_state: EntryState | None  # None: it waits for nothing
    attempts: list[AttemptView] = field(default_factory=list)
    copies: list[CopyView] = field(default_factory=list)

    @property
    def explained_status(self) -> str:
        """The reason for the status and its details; empty if there are none."""
        return ": ".join(part for part in (self.reason, self.detail) if part)


_OWN = [name for name in NotificationView.__dataclass_fields__ if name in _notification and name != "when_uncertain"]
_WHEN_UNCERTAIN = func.coalesce(_notification.when_uncertain, _version.when_uncertain).label("when_uncertain")
_NEXT_TRY = case((_entry.state == EntryState.READY, _entry.due_at)).label("due_at")
ENTRY_OF_NOTIFICATION = and_(
    entry_store.SUBJECT_INDEX_CONDITION,
    _entry.service_id == _notification.service_id,
    _entry.subject_id == _notification.id,
)


def _select_views() -> Select[*tuple[object, ...]]:
    return (
        select(*(_notification[name] for name in _OWN))
        .add_columns(_template.slug.label("template"), _version.number.label("template_version"), _WHEN_UNCERTAIN)
        .add_columns(_NEXT_TRY, _entry.state.label("entry_state"), _service.name.label("service"))
        .outerjoin(TemplateVersion, _version.id == _notification.template_version_id)
        .outerjoin(Template, _template.id == _version.template_id)
        .outerjoin(OutboxEntry, ENTRY_OF_NOTIFICATION)
        .outerjoin(Service, _service.id == _notification.service_id)
    )


async def get_notification(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> NotificationView:
    """Get a notification of the service, or of any service if it is None, with its newest attempts.

    Raises `NotFoundError`, also for another service's.
    """
    statement = _select_views().where(_notification.id == id_)
    if service_id is not None:
        statement = statement.where(_notification.service_id == service_id)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such notification")
    # Numbered here, because the table counts per outbox entry and a retry begins a new entry.
    names = [name for name in AttemptView.__dataclass_fields__ if name != "number"]
    number = func.row_number().over(order_by=_attempt.id).label("number")
    newest = select(*(_attempt[name] for name in names), number).where(_attempt.notification_id == id_)
    tried = await connection.execute(newest.order_by(_attempt.id.desc()).limit(MAX_ATTEMPTS_SHOWN))
    attempts = [AttemptView(**attempt) for attempt in reversed(tried.mappings().all())]
    return NotificationView(**row, attempts=attempts, copies=await _list_copies(connection, id_))


async def _list_copies(connection: AsyncConnection, id_: UUID) -> list[CopyView]:
    names = CopyView.__dataclass_fields__
    statement = select(*(_notification[name] for name in names)).where(_notification.parent_id == id_)
    return [CopyView(**row) for row in (await connection.execute(statement.order_by(_notification.id))).mappings()]


async def list_notifications(connection: AsyncConnection, ids: Sequence[UUID]) -> list[NotificationView]:
    """Get the notifications with these ids, in their order, without attempts and copies."""
    rows = (await connection.execute(_select_views().where(_notification.id.in_(ids)))).mappings() if ids else ()
    known = {row["id"]: NotificationView(**row) for row in rows}
    return [known[id_] for id_ in ids if id_ in known]


async def list_held_unknown(connection: AsyncConnection, *, limit: int) -> list[NotificationView]:
    """List the unknown notifications of all services that are held for a person; oldest first."""
    statement = _select_views().where(_entry.state == EntryState.HELD, _notification.status == Status.UNKNOWN)
    rows = await connection.execute(statement.order_by(_notification.uncertain_at, _notification.id).limit(limit))
    return [NotificationView(**row) for row in rows.mappings()]


async def count_closed_unknown(connection: AsyncConnection, batch_id: UUID) -> int:
    """Count the notifications of a batch, without copies, that are unknown and were not resolved in time."""
    own = (_notification.batch_id == batch_id, _notification.parent_id.is_(None))
    statement = select(func.count()).select_from(Notification).outerjoin(OutboxEntry, ENTRY_OF_NOTIFICATION)
    statement = statement.where(*own, _notification.status == Status.UNKNOWN, _entry.id.is_(None))
    return int((await connection.execute(statement)).scalar_one())


# -- the timeline ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TimelineItem:
    """One thing that happened."""

    at: datetime
    kind: str  # accepted, scheduled, attempt, uncertain, an event's kind, or the status in which it ended
    detail: str | None = None
    actor: str | None = None
    attempt: AttemptView | None = None


async def get_timeline(connection: AsyncConnection, view: NotificationView) -> list[TimelineItem]:
    """Get the timeline of a notification that was just read."""
    statement = select(_event.at, _event.kind, _event.actor, _event.detail).where(_event.notification_id == view.id)
    rows = await connection.execute(statement.order_by(_event.id.desc()).limit(MAX_EVENTS_SHOWN))
    newest = reversed(rows.all())
    events = [TimelineItem(at=row.at, kind=row.kind, actor=row.actor, detail=row.detail or None) for row in newest]
    # The sort is stable: at the same time the order is beginning, attempts, actions, end.
    return sorted([*_list_beginning(view), *_list_attempts(view), *events, *_list_end(view)], key=lambda item: item.at)


def _list_beginning(view: NotificationView) -> Iterator[TimelineItem]:
    yield TimelineItem(at=view.created_at, kind="accepted", actor=view.created_by)
    if view.send_at > view.created_at:
        yield TimelineItem(at=view.created_at, kind="scheduled", detail=f"for {view.send_at.isoformat()}")


def _list_attempts(view: NotificationView) -> Iterator[TimelineItem]:
    for attempt in view.attempts:
        reply = " ".join(str(part) for part in (attempt.code, attempt.enhanced_code, attempt.reply) if part)
        yield TimelineItem(at=attempt.started_at, kind="attempt", detail=f"{attempt.outcome}: {reply}", attempt=attempt)
    if view.uncertain_at is not None:
        detail = "the relay may have taken it, and no reply came"
        yield TimelineItem(at=view.uncertain_at, kind="uncertain", detail=detail)


def _list_end(view: NotificationView) -> Iterator[TimelineItem]:
    """The item of the end. A cancelled notification has none, because its event says it."""
    closed = view.status is Status.UNKNOWN and view.entry_state is None
    if closed or view.status not in WAITING_STATUSES | {Status.CANCELLED}:
        yield TimelineItem(at=view.updated_at, kind=view.status, detail=view.explained_status or None)
