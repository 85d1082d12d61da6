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

from notifier.db import rows
from notifier.db.direct import Connection
from notifier.db.tables import Event, Notification, columns
from notifier.ids import new_id
from notifier.notification import move_sql
from notifier.states import Cause, EventKind, Reason, Status, sources_of

_notification = columns(Notification)
LONGEST_DETAIL = 1000


class Move(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A new status for one notification, with reason and time."""

    notification_id: UUID
    to: Status
    at: datetime
    reason: Reason | None = None
    detail: str | None = None  # for people: the relay's reply, or our own text


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What a person or caller does to a notification, as the timeline shows it."""

    kind: EventKind
    actor: str
    cause: Cause  # CALLER or PERSON
    only_from: frozenset[Status]  # a part of what `states.py` allows: this action is about these
    detail: str = ""
    expires_at: datetime | None = None  # a new one


async def move(connection: Connection, moves: Sequence[Move], cause: Cause) -> None:
    """Apply each change that is allowed from the current status; the others do nothing."""
    sqlite = connection.dialect.name == "sqlite"
    by_target = sorted(moves, key=lambda m: m.to)
    for target, group in groupby(by_target, key=lambda m: m.to):
        steps = [_row(step) for step in group]
        values = {"rows": rows.parameter(steps, sqlite=sqlite)}
        moved = await connection.execute(move_sql.step(target, cause, sqlite=sqlite), values)
        if sqlite and not (target is Status.QUEUED and cause is Cause.SENDER):
            ids = {UUID(row.id) for row in moved}
            await _follow(connection, target, [step for step in steps if step["id"] in ids])


async def _follow(connection: Connection, status: Status, steps: Sequence[dict[str, Any]]) -> None:
    """Update the status index, and write the webhook events."""
    sqlite = connection.dialect.name == "sqlite"
    values = {"rows": rows.parameter(steps, sqlite=sqlite)}
    for statement in move_sql.follow_sqlite(status) if sqlite else (move_sql.follow_postgres(status),):
        await connection.execute(statement, values)


def _row(step: Move) -> dict[str, Any]:
    return {
        "id": step.notification_id,
        "event_id": new_id(),
        "reason": step.reason,
        "detail": _cut(step.detail),
        "at": step.at,
    }


async def intervene(connection: AsyncConnection, step: Move, deed: Deed) -> bool:
    """Apply one change and write its event; False, without either, if it is not allowed from the current status."""
    values: dict[str, Any] = {"status": step.to, "updated_at": step.at, "reason": step.reason}
    values |= {"detail": _cut(step.detail), "sequence": _notification.sequence + 1}
    if deed.expires_at is not None:
        values["expires_at"] = deed.expires_at
    allowed = sorted(sources_of(step.to, deed.cause) & deed.only_from)
    statement = (
        update(Notification)
        .where(_notification.id == step.notification_id, _notification.status.in_(allowed))
        .values(values)
        .returning(_notification.id)
    )
    if (await connection.execute(statement)).first() is None:
        return False
    await _follow(connection, step.to, [_row(step)])
    event = {
        "id": new_id(),
        "notification_id": step.notification_id,
        "at": step.at,
        "kind": deed.kind,
        "actor": deed.actor,
        "detail": deed.detail,
    }
    await connection.execute(insert(Event).values(event))
    return True


def _cut(detail: str | None) -> str | None:
    return detail[:LONGEST_DETAIL] if detail else None
