"""The only writer of a notification's status: it asks the declared machine, so a late event cannot lower anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, literal_column, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Notification, columns
from notifier.states import Cause, Reason, Status, sources_of

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


def _parameters(step: Move) -> dict[str, object]:
    return {
        "which": step.notification_id,
        "new_reason": step.reason,
        "new_detail": step.detail[:LONGEST_DETAIL] if step.detail else None,
        "at": step.at,
    }
