"""The only writer of a notification's status: it asks the declared machine, so a late event cannot lower anything.

What a person or caller does is written together with its event in the timeline, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, insert, literal_column, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Event, Notification, columns
from notifier.ids import new_id
from notifier.states import Cause, EventKind, Reason, Status, sources_of

_notification = columns(Notification)
LONGEST_DETAIL = 1000


@dataclass(frozen=True, kw_only=True)
class Move:
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


async def move(connection: AsyncConnection, moves: Sequence[Move], cause: Cause) -> None:
    """Make each step that the machine allows from where the notification stands; the others change nothing."""
    by_target = sorted(moves, key=lambda m: m.to)
    for target, group in groupby(by_target, key=lambda m: m.to):
        sources: list[ColumnElement[Any]] = [
            literal_column(f"'{status.value}'") for status in sorted(sources_of(target, cause))
        ]
        values = {
            "status": target,
            "reason": bindparam("new_reason", type_=_notification.reason.type),
            "detail": bindparam("new_detail"),
            "updated_at": bindparam("at", type_=_notification.updated_at.type),
        }
        if target is Status.UNKNOWN:
            values["uncertain_at"] = func.coalesce(
                _notification.uncertain_at, bindparam("at", type_=_notification.updated_at.type)
            )
        statement = (
            update(Notification)
            .where(_notification.id == bindparam("which"), _notification.status.in_(sources))
            .values(values)
        )
        await connection.execute(statement, [_parameters(step) for step in group])


async def intervene(connection: AsyncConnection, step: Move, deed: Deed) -> bool:
    """One step that was asked for, and its event; False, and neither, from where it is not allowed."""
    values = {"status": step.to, "updated_at": step.at, "reason": step.reason, "detail": _cut(step.detail)}
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


def _parameters(step: Move) -> dict[str, object]:
    return {
        "which": step.notification_id,
        "new_reason": step.reason,
        "new_detail": _cut(step.detail),
        "at": step.at,
    }
