"""The only writer of a notification's status. It allows only what `states.py` declares, so a late event is ignored.

A change by a person or caller is written together with its event in the timeline, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db import row_parameter
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import Notification, NotificationEvent, get_columns
from notifier.ids import generate_id
from notifier.states import EventKind, Reason, Status, TransitionCause, get_source_statuses
from notifier.status import status_writer_sql

_notification = get_columns(Notification)
MAX_DETAIL_LENGTH = 1000


class StatusChange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new status for one notification, with reason and time."""

    notification_id: UUID
    to: Status
    at: datetime
    reason: Reason | None = None
    detail: str | None = None  # for people: the relay's reply, or our own text


@dataclass(frozen=True, kw_only=True)
class RequestedChange:
    """What a person or caller does to a notification, as the timeline shows it."""

    kind: EventKind
    actor: str
    cause: TransitionCause  # CALLER or PERSON
    only_from: frozenset[Status]  # a part of what `states.py` allows: this action is about these
    detail: str = ""
    expires_at: datetime | None = None  # a new one


async def apply_status_changes(
    connection: StatementConnection, moves: Sequence[StatusChange], cause: TransitionCause
) -> None:
    """Apply each change that is allowed from the current status; the others do nothing."""
    sqlite = connection.dialect.name == "sqlite"
    by_target = sorted(moves, key=lambda m: m.to)
    for target, group in groupby(by_target, key=lambda m: m.to):
        steps = [_build_row(step) for step in group]
        values = {"rows": row_parameter.encode_rows(steps, sqlite=sqlite)}
        moved = await connection.execute(status_writer_sql.build_change_statement(target, cause, sqlite=sqlite), values)
        if sqlite and not (target is Status.QUEUED and cause is TransitionCause.SENDER):
            ids = {UUID(row.id) for row in moved}
            await _write_consequences(connection, target, [step for step in steps if step["id"] in ids])


async def _write_consequences(connection: StatementConnection, status: Status, steps: Sequence[dict[str, Any]]) -> None:
    """Update the status index, and write the webhook events."""
    sqlite = connection.dialect.name == "sqlite"
    values = {"rows": row_parameter.encode_rows(steps, sqlite=sqlite)}
    for statement in (
        status_writer_sql.build_follow_up_sqlite(status)
        if sqlite
        else (status_writer_sql.build_follow_up_postgres(status),)
    ):
        await connection.execute(statement, values)


def _build_row(step: StatusChange) -> dict[str, Any]:
    return {
        "id": step.notification_id,
        "event_id": generate_id(),
        "reason": step.reason,
        "detail": _cut_detail(step.detail),
        "at": step.at,
    }


async def apply_requested_change(connection: AsyncConnection, step: StatusChange, deed: RequestedChange) -> bool:
    """Apply one change and write its event; False, without either, if it is not allowed from the current status."""
    values: dict[str, Any] = {"status": step.to, "updated_at": step.at, "reason": step.reason}
    values |= {"detail": _cut_detail(step.detail), "sequence": _notification.sequence + 1}
    if deed.expires_at is not None:
        values["expires_at"] = deed.expires_at
    allowed = sorted(get_source_statuses(step.to, deed.cause) & deed.only_from)
    statement = (
        update(Notification)
        .where(_notification.id == step.notification_id, _notification.status.in_(allowed))
        .values(values)
        .returning(_notification.id)
    )
    if (await connection.execute(statement)).first() is None:
        return False
    await _write_consequences(connection, step.to, [_build_row(step)])
    event = {
        "id": generate_id(),
        "notification_id": step.notification_id,
        "at": step.at,
        "kind": deed.kind,
        "actor": deed.actor,
        "detail": deed.detail,
    }
    await connection.execute(insert(NotificationEvent).values(event))
    return True


def _cut_detail(detail: str | None) -> str | None:
    return detail[:MAX_DETAIL_LENGTH] if detail else None
