"""Suppressions: addresses that must not be mailed. They are checked at submit and before every send.

Each belongs to a service or to the instance; there is one per address, owner and scope. Nothing here commits.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, exists, or_, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import address, audit
from notifier.audit import Action, Deed, Doer, ObjectKind
from notifier.db.direct import Connection
from notifier.db.tables import INSTANCE, Notification, Suppression, columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import new_id
from notifier.states import Category, SuppressionReason, SuppressionScope

LONGEST_DETAIL = 1000
SENDER = "sender"
"""The actor of suppressions that a relay's reply has caused."""
_suppression, _notification = columns(Suppression), columns(Notification)
_ONE_EACH = ["address", "service_id", "scope"]


class NotYoursError(NotifierError):
    """It belongs to the instance, not to your service; its operator can lift it with `notifier suppressions lift`."""


@dataclass(frozen=True, kw_only=True)
class SuppressionView:
    """A suppression, as people see it."""

    id: UUID
    address: str  # as `address.key` writes it
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None  # None: never

    @property
    def is_instances(self) -> bool:
        """True if it holds for every service."""
        return self.service_id == INSTANCE


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A suppression to add."""

    address: str
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str  # at most `LONGEST_DETAIL` characters
    created_by: str
    expires_at: datetime | None = None


class Fate(Enum):
    """What happened when a suppression was added."""

    ADDED = auto()
    EXTENDED = auto()  # there was one with an earlier end
    UNCHANGED = auto()  # there was one that lasts at least as long


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which suppressions; None: any."""

    address: str | None = None
    scope: SuppressionScope | None = None
    reason: SuppressionReason | None = None
    lasting_after: datetime | None = None  # leave out those that have expired by then


def barring(address: str, *, service: str, category: str, now: str) -> str:
    """SQL for a SELECT of the reasons why an address must not be mailed; the parameters are SQL expressions.

    An opt-out from marketing stops no other mail, and a service's own suppression stops no other service.
    """
    return f"""SELECT s.reason FROM suppression AS s
    WHERE s.address = {address} AND s.service_id IN ('{INSTANCE.hex}', {service})
      AND (s.scope = '{SuppressionScope.ALL}' OR {category} = '{Category.MARKETING}')
      AND (s.expires_at IS NULL OR s.expires_at > {now})"""  # noqa: S608 - expressions of our own


# -- adding and lifting ------------------------------------------------------------------------------------------------


async def suppress(
    connection: Connection, recipient: str, *, reason: SuppressionReason, detail: str, now: datetime
) -> None:
    """Suppress the address for all services and for ever, unless it already is."""
    wish = Wish(
        address=recipient,
        service_id=INSTANCE,
        scope=SuppressionScope.ALL,
        reason=reason,
        detail=detail[:LONGEST_DETAIL],
        created_by=SENDER,
    )
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(Suppression).values(_row(wish, now))
    # One with an end becomes permanent: the relay's reply is newer.
    renewed = {name: insert.excluded[name] for name in _row(wish, now)} | {"expires_at": None}
    statement = insert.on_conflict_do_update(
        index_elements=_ONE_EACH, set_=renewed, where=_suppression.expires_at.is_not(None)
    )
    await connection.execute(statement)


async def add(connection: AsyncConnection, wish: Wish, *, actor: Doer) -> tuple[Fate, SuppressionView]:
    """Suppress an address: what became of the request, and how the suppression stands now.

    The first reason stays, and the later end; one that has expired counts for nothing and makes room.
    """
    fate, view, before = await _add(connection, wish, actor.at)
    if fate is Fate.UNCHANGED:
        actor.record_no_change()
    else:
        action = Action.SUPPRESSION_ADDED if fate is Fate.ADDED else Action.SUPPRESSION_EXTENDED
        record = _deed(action, view, before=_told(before) if before else None, after=_told(view))
        await audit.record(connection, record, actor)
    return fate, view


async def _add(
    connection: AsyncConnection, wish: Wish, now: datetime
) -> tuple[Fate, SuppressionView, SuppressionView | None]:
    """The third is the suppression that was there before, expired or not."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(Suppression)
    statement = insert.values(_row(wish, now)).on_conflict_do_nothing(index_elements=_ONE_EACH)
    while True:
        added = (await connection.execute(statement.returning(*_suppression))).mappings().one_or_none()
        if added is not None:
            return Fate.ADDED, SuppressionView(**added), None
        existing = (await connection.execute(_same(wish).with_for_update())).mappings().one_or_none()
        if existing is not None:  # else it was lifted at this moment, and there is room now
            return await _beside(connection, wish, SuppressionView(**existing), now)


async def _beside(
    connection: AsyncConnection, wish: Wish, existing: SuppressionView, now: datetime
) -> tuple[Fate, SuppressionView, SuppressionView | None]:
    if existing.expires_at is None or (wish.expires_at is not None and now < wish.expires_at <= existing.expires_at):
        return Fate.UNCHANGED, existing, existing
    is_over = existing.expires_at <= now
    values = _row(wish, now) if is_over else {"expires_at": wish.expires_at}
    statement = update(Suppression).where(_suppression.id == existing.id).values(values).returning(*_suppression)
    view = SuppressionView(**(await connection.execute(statement)).mappings().one())
    return (Fate.ADDED if is_over else Fate.EXTENDED), view, existing


async def lift(
    connection: AsyncConnection, owner: UUID | None, id_: UUID, *, actor: Doer, comment: str = ""
) -> SuppressionView:
    """Let the address be mailed again; returns the suppression as it was. `owner`: a service; None for the operator.

    Raises `NotFoundError`, `NotYoursError`.
    """
    statement = delete(Suppression).where(_suppression.id == id_)
    if owner is not None:
        statement = statement.where(_suppression.service_id == owner)
    row = (await connection.execute(statement.returning(*_suppression))).mappings().one_or_none()
    if row is None:
        await one(connection, owner, id_)
        raise NotYoursError
    view = SuppressionView(**row)
    after = {"comment": comment} if comment else None
    await audit.record(connection, _deed(Action.SUPPRESSION_LIFTED, view, before=_told(view), after=after), actor)
    return view


def _deed(
    action: Action, view: SuppressionView, *, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> Deed:
    return Deed(
        action=action,
        object_kind=ObjectKind.SUPPRESSION,
        object_id=view.id,
        service_id=None if view.is_instances else view.service_id,
        address=view.address,
        before=before,
        after=after,
    )


def _told(view: SuppressionView) -> dict[str, Any]:
    """Without the detail: it may name a person, whom an erasure could not find there."""
    return {name: getattr(view, name) for name in ("scope", "reason", "created_by", "created_at", "expires_at")}


def _row(wish: Wish, now: datetime) -> dict[str, Any]:
    return vars(wish) | {"id": new_id(), "address": address.key(wish.address), "created_at": now}


def _same(wish: Wish) -> Select[Any]:
    """The suppression in the place of the new one."""
    return select(*_suppression).where(
        _suppression.address == address.key(wish.address),
        _suppression.service_id == wish.service_id,
        _suppression.scope == wish.scope,
    )


# -- reading -----------------------------------------------------------------------------------------------------------


async def one(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> SuppressionView:
    """Get a suppression of the service or of the instance. `service_id` is None for an operator, who sees all."""
    statement = select(*_suppression).where(_suppression.id == id_)
    if service_id is not None:
        statement = statement.where(_suppression.service_id.in_((service_id, INSTANCE)))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such suppression")
    return SuppressionView(**row)


async def page(
    connection: AsyncConnection, service_id: UUID, query: Filter, *, before: UUID | None, limit: int
) -> list[SuppressionView]:
    """List what stops a service's mail, newest first: its own, and the instance's for addresses that it has mailed.

    The instance's for other addresses are left out, because they would show whom the other services mail. A query for
    one address gets them, because a submit to that address shows the same.
    """
    own = _filtered(query, before).where(_suppression.service_id == service_id)
    shared = _filtered(query, before).where(_suppression.service_id == INSTANCE)
    if query.address is None:
        mailed = exists().where(
            _notification.service_id == service_id, _notification.address_key == _suppression.address
        )
        shared = shared.where(mailed)
    # Each half is limited to a page in the order of its index, so that neither reads more rows than that.
    halves = [half.order_by(_suppression.id.desc()).limit(limit).subquery() for half in (own, shared)]
    both = union_all(*(select(half) for half in halves)).subquery()
    rows = await connection.execute(select(both).order_by(both.c.id.desc()).limit(limit))
    return [SuppressionView(**row) for row in rows.mappings()]


async def owned(
    connection: AsyncConnection, owner: UUID, query: Filter, *, limit: int, before: UUID | None = None
) -> list[SuppressionView]:
    """List suppressions of a service, or of `INSTANCE`, newest first, from `before` on."""
    statement = _filtered(query, before).where(_suppression.service_id == owner)
    rows = await connection.execute(statement.order_by(_suppression.id.desc()).limit(limit))
    return [SuppressionView(**row) for row in rows.mappings()]


def _filtered(query: Filter, before: UUID | None) -> Select[Any]:
    statement = select(*_suppression)
    for name in ("address", "scope", "reason"):
        value = getattr(query, name)
        if value is not None:
            statement = statement.where(_suppression[name] == value)
    if query.lasting_after is not None:
        lasts = or_(_suppression.expires_at.is_(None), _suppression.expires_at > query.lasting_after)
        statement = statement.where(lasts)
    return statement if before is None else statement.where(_suppression.id < before)
