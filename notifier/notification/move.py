"""The only writer of a notification's status: it asks the declared machine, so a late event cannot lower anything.

What a person or caller does is written together with its event in the timeline, or not at all.
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
    """One notification's step, with why and when."""

    notification_id: UUID
    to: Status
    at: datetime
    reason: Reason | None = None
    detail: str | None = None  # for people: the relay's last words, or ours


@dataclass(frozen=True, kw_only=True)
class Deed:
    """What a person or caller did, as the timeline keeps it."""

    kind: EventKind
    actor: str
    cause: Cause  # CALLER or PERSON
    only_from: frozenset[Status]  # what this deed is about; the machine may allow more, for other deeds
    detail: str = ""
    expires_at: datetime | None = None  # a new one


async def move(connection: Connection, moves: Sequence[Move], cause: Cause) -> None:
    """Make each step that the machine allows from where the notification stands; the others change nothing."""
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
    """List the notifications under their new status, and write down what there is to tell."""
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
    """One step that was asked for, and its event; False, and neither, from where it is not allowed."""
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
