"""Suppressions: addresses that must not be mailed. They are checked at submit and before every send.

Each belongs to a service or to the instance; there is one per address, owner and scope. Nothing here commits.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, exists, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit, email_address
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.db.dialect import build_insert
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import INSTANCE, Notification, Suppression, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.states import Category, SuppressionReason, SuppressionScope

MAX_DETAIL_LENGTH = 1000
SENDER_ACTOR = "sender"
"""The actor of a suppression that a relay's reply caused."""
_suppression, _notification = get_columns(Suppression), get_columns(Notification)
_ONE_EACH = ["address", "service_id", "scope"]


class NotYoursError(NotifierError):
    """It belongs to the instance, not to your service. The operator can lift it with `notifier suppressions lift`."""


@dataclass(frozen=True, kw_only=True)
class SuppressionView:
    """A suppression, as people see it."""

    id: UUID
    address: str  # its key, see `email_address.get_address_key`
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None  # None: never

    @property
    def is_instance_wide(self) -> bool:
        """True if it holds for every service."""
        return self.service_id == INSTANCE


@dataclass(frozen=True, kw_only=True)
class NewSuppression:
    """A suppression to add."""

    address: str
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str  # at most `MAX_DETAIL_LENGTH` characters
    created_by: str
    expires_at: datetime | None = None


class SuppressionFate(Enum):
    """The result of adding a suppression."""

    ADDED = auto()
    EXTENDED = auto()  # one with an earlier end existed
    UNCHANGED = auto()  # one that lasts at least as long existed


@dataclass(frozen=True, kw_only=True)
class SuppressionFilter:
    """Which suppressions are listed; None: any."""

    address: str | None = None
    scope: SuppressionScope | None = None
    reason: SuppressionReason | None = None
    lasting_after: datetime | None = None  # leave out those that have expired by then


def build_barring_query(address: str, *, service: str, category: str, now: str) -> str:
    """Build the SELECT of the reasons why an address must not be mailed. The parameters are SQL expressions.

    An opt-out from marketing stops no other mail, and a service's own suppression stops no other service.
    """
    return f"""SELECT s.reason FROM suppression AS s
    WHERE s.address = {address} AND s.service_id IN ('{INSTANCE.hex}', {service})
      AND (s.scope = '{SuppressionScope.ALL}' OR {category} = '{Category.MARKETING}')
      AND (s.expires_at IS NULL OR s.expires_at > {now})"""  # noqa: S608 - expressions of our own


# -- adding and lifting ------------------------------------------------------------------------------------------------


async def suppress_recipient(
    connection: StatementConnection, recipient: str, *, reason: SuppressionReason, detail: str, now: datetime
) -> None:
    """Suppress the address for all services and for ever, unless it already is."""
    new = NewSuppression(
        address=recipient,
        service_id=INSTANCE,
        scope=SuppressionScope.ALL,
        reason=reason,
        detail=detail[:MAX_DETAIL_LENGTH],
        created_by=SENDER_ACTOR,
    )
    row = _build_suppression_row(new, now)
    insert = build_insert(connection, Suppression).values(row)
    # A suppression that would end becomes permanent, because the relay's reply is newer.
    renewed = {name: insert.excluded[name] for name in row} | {"expires_at": None}
    where = _suppression.expires_at.is_not(None)
    await connection.execute(insert.on_conflict_do_update(index_elements=_ONE_EACH, set_=renewed, where=where))


async def add_suppression(
    connection: AsyncConnection, new: NewSuppression, *, actor: Actor
) -> tuple[SuppressionFate, SuppressionView]:
    """Suppress an address; return what was done, and the suppression as it is now.

    If there is one already, it keeps its reason, and gets the later end of the two. One that has expired is replaced.
    """
    fate, view, before = await _add(connection, new, actor.at)
    if fate is SuppressionFate.UNCHANGED:
        actor.record_no_change()
    else:
        action = AuditAction.SUPPRESSION_ADDED if fate is SuppressionFate.ADDED else AuditAction.SUPPRESSION_EXTENDED
        described = _describe_for_audit(before) if before else None
        await _record(connection, action, view, actor, before=described, after=_describe_for_audit(view))
    return fate, view


async def _add(
    connection: AsyncConnection, new: NewSuppression, now: datetime
) -> tuple[SuppressionFate, SuppressionView, SuppressionView | None]:
    """Also return, as the third, the suppression that existed before, expired or not."""
    insert = build_insert(connection, Suppression).values(_build_suppression_row(new, now))
    statement = insert.on_conflict_do_nothing(index_elements=_ONE_EACH)
    while True:
        added = (await connection.execute(statement.returning(*_suppression))).mappings().one_or_none()
        if added is not None:
            return SuppressionFate.ADDED, SuppressionView(**added), None
        existing = (await connection.execute(_select_same(new).with_for_update())).mappings().one_or_none()
        if existing is not None:  # else it was lifted at this moment: insert again
            return await _extend_existing(connection, new, SuppressionView(**existing), now)


async def _extend_existing(
    connection: AsyncConnection, new: NewSuppression, existing: SuppressionView, now: datetime
) -> tuple[SuppressionFate, SuppressionView, SuppressionView | None]:
    if existing.expires_at is None or (new.expires_at is not None and now < new.expires_at <= existing.expires_at):
        return SuppressionFate.UNCHANGED, existing, existing
    is_over = existing.expires_at <= now
    values = _build_suppression_row(new, now) if is_over else {"expires_at": new.expires_at}
    statement = update(Suppression).where(_suppression.id == existing.id).values(values).returning(*_suppression)
    view = SuppressionView(**(await connection.execute(statement)).mappings().one())
    return (SuppressionFate.ADDED if is_over else SuppressionFate.EXTENDED), view, existing


async def lift_suppression(
    connection: AsyncConnection, owner: UUID | None, id_: UUID, *, actor: Actor, comment: str = ""
) -> SuppressionView:
    """Lift a suppression; returns it as it was. `owner`: a service; None for the operator, who may lift any.

    Raises `NotFoundError`, `NotYoursError`.
    """
    statement = delete(Suppression).where(_suppression.id == id_)
    if owner is not None:
        statement = statement.where(_suppression.service_id == owner)
    row = (await connection.execute(statement.returning(*_suppression))).mappings().one_or_none()
    if row is None:
        await get_suppression(connection, owner, id_)
        raise NotYoursError
    view = SuppressionView(**row)
    after = {"comment": comment} if comment else None
    action, before = AuditAction.SUPPRESSION_LIFTED, _describe_for_audit(view)
    await _record(connection, action, view, actor, before=before, after=after)
    return view


async def _record(
    connection: AsyncConnection,
    action: AuditAction,
    view: SuppressionView,
    actor: Actor,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    record = AuditRecord(
        action=action,
        object_id=view.id,
        service_id=None if view.is_instance_wide else view.service_id,
        address=view.address,
        before=before,
        after=after,
    )
    await audit.write_audit_record(connection, record, actor)


def _describe_for_audit(view: SuppressionView) -> dict[str, Any]:
    """The fields without the detail: it may name a person, and an erasure would not find the name there."""
    return {name: getattr(view, name) for name in ("scope", "reason", "created_by", "created_at", "expires_at")}


def _build_suppression_row(new: NewSuppression, now: datetime) -> dict[str, Any]:
    return vars(new) | {"id": generate_id(), "address": email_address.get_address_key(new.address), "created_at": now}


def _select_same(new: NewSuppression) -> Select[Any]:
    """The suppression with the same address, owner and scope."""
    return select(*_suppression).where(
        _suppression.address == email_address.get_address_key(new.address),
        _suppression.service_id == new.service_id,
        _suppression.scope == new.scope,
    )


# -- reading -----------------------------------------------------------------------------------------------------------


async def get_suppression(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> SuppressionView:
    """Get a suppression of the service or of the instance. `service_id` is None for an operator, who sees all."""
    statement = select(*_suppression).where(_suppression.id == id_)
    if service_id is not None:
        statement = statement.where(_suppression.service_id.in_((service_id, INSTANCE)))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such suppression")
    return SuppressionView(**row)


async def list_effective_suppressions(
    connection: AsyncConnection, service_id: UUID, query: SuppressionFilter, *, before: UUID | None, limit: int
) -> list[SuppressionView]:
    """List what stops a service's mail, newest first: its own, and the instance's for addresses that it has mailed.

    The instance's suppressions of other addresses are left out, because they would show whom other services mail. A
    query for one address includes them, because a submit to that address shows the same.
    """
    own = _select_filtered(query, before).where(_suppression.service_id == service_id)
    shared = _select_filtered(query, before).where(_suppression.service_id == INSTANCE)
    if query.address is None:
        mailed = exists().where(
            _notification.service_id == service_id, _notification.address_key == _suppression.address
        )
        shared = shared.where(mailed)
    # Each half is limited to a page in the order of its index, so that it reads no more rows than that.
    halves = [half.order_by(_suppression.id.desc()).limit(limit).subquery() for half in (own, shared)]
    both = union_all(*(select(half) for half in halves)).subquery()
    rows = await connection.execute(select(both).order_by(both.c.id.desc()).limit(limit))
    return [SuppressionView(**row) for row in rows.mappings()]


async def list_all_suppressions(
    connection: AsyncConnection, query: SuppressionFilter, *, before: UUID | None, limit: int
) -> list[SuppressionView]:
    """List suppressions of all services and of the instance, newest first."""
    statement = _select_filtered(query, before).order_by(_suppression.id.desc()).limit(limit)
    return [SuppressionView(**row) for row in (await connection.execute(statement)).mappings()]


async def list_owned_suppressions(
    connection: AsyncConnection, owner: UUID, query: SuppressionFilter, *, limit: int, before: UUID | None = None
) -> list[SuppressionView]:
    """List suppressions of a service, or of `INSTANCE`, newest first; those older than `before`."""
    statement = _select_filtered(query, before).where(_suppression.service_id == owner)
    rows = await connection.execute(statement.order_by(_suppression.id.desc()).limit(limit))
    return [SuppressionView(**row) for row in rows.mappings()]


def _select_filtered(query: SuppressionFilter, before: UUID | None) -> Select[Any]:
    statement = select(*_suppression)
    for name in ("address", "scope", "reason"):
        value = getattr(query, name)
        if value is not None:
            statement = statement.where(_suppression[name] == value)
    if query.lasting_after is not None:
        lasts = or_(_suppression.expires_at.is_(None), _suppression.expires_at > query.lasting_after)
        statement = statement.where(lasts)
    return statement if before is None else statement.where(_suppression.id < before)
