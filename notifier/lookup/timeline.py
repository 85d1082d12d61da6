"""The timeline of a notification, from its row, its attempts and the actions of people and callers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import NotificationEvent, get_columns
from notifier.lookup import notification_view
from notifier.lookup.notification_view import AttemptView, NotificationView
from notifier.states import WAITING_STATUSES, Status

_event = get_columns(NotificationEvent)
MAX_EVENTS_SHOWN = 200  # the newest actions of people and callers


@dataclass(frozen=True, kw_only=True)
class TimelineItem:
    """One thing that happened."""

    at: datetime
    kind: str  # accepted, scheduled, attempt, uncertain, an event's kind, or the status in which it ended
    detail: str | None = None
    actor: str | None = None
    attempt: AttemptView | None = None


async def get_timeline(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> list[TimelineItem]:
    """Get the timeline of a notification of the service, or of any service if it is None. Raises `NotFoundError`."""
    view = await notification_view.get_notification(connection, service_id, id_)
    statement = select(_event.at, _event.kind, _event.actor, _event.detail).where(_event.notification_id == id_)
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
        said = " ".join(str(part) for part in (attempt.code, attempt.enhanced_code, attempt.reply) if part)
        yield TimelineItem(at=attempt.started_at, kind="attempt", detail=f"{attempt.outcome}: {said}", attempt=attempt)
    if view.uncertain_at is not None:
        yield TimelineItem(
            at=view.uncertain_at, kind="uncertain", detail="the relay may have taken it, and no reply came"
        )


def _list_end(view: NotificationView) -> Iterator[TimelineItem]:
    """The end, unless an event says it: a cancellation has its own event."""
    closed = view.status is Status.UNKNOWN and view.entry_state is None
    if closed or view.status not in WAITING_STATUSES | {Status.CANCELLED}:
        why = ": ".join(part for part in (view.reason, view.detail) if part)
        yield TimelineItem(at=view.updated_at, kind=view.status, detail=why or None)
