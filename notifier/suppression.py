"""Addresses that must not be mailed, asked before every send: who may add, see and lift them, and what they bar.

Each is a service's own or the instance's, and there is one for an address, an owner and a scope. Nothing here commits.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, exists, or_, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.audit import AuditAction, AuditRecord, ObjectKind
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import INSTANCE, Notification, Suppression, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.states import Category, SuppressionReason, SuppressionScope

MAX_DETAIL_LENGTH = 1000
SENDER_ACTOR = "sender"
"""Who has added what a relay's reply led to."""
_suppression, _notification = get_columns(Suppression), get_columns(Notification)
_ONE_EACH = ["address", "service_id", "scope"]


class NotYoursError(NotifierError):
    """It is the instance's, not your service's; its operator can lift it with `notifier suppressions lift`."""


@dataclass(frozen=True, kw_only=True)
class SuppressionView:
    """A suppression as it stands."""

    id: UUID
    address: str  # as `address.key` writes it
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None  # None: it holds for ever

    @property
    def is_instance_wide(self) -> bool:
        """True if it holds for every service."""
        return self.service_id == INSTANCE


@dataclass(frozen=True, kw_only=True)
class NewSuppression:
    """A suppression that somebody wants."""

    address: str
    service_id: UUID  # or `INSTANCE`
    scope: SuppressionScope
    reason: SuppressionReason
    detail: str  # at most `LONGEST_DETAIL` characters
    created_by: str
    expires_at: datetime | None = None


class SuppressionFate(Enum):
    """What became of a wish."""

    ADDED = auto()
    EXTENDED = auto()  # there was one that would have ended sooner
    UNCHANGED = auto()  # there was one that holds at least as long


@dataclass(frozen=True, kw_only=True)
class SuppressionFilter:
    """Which suppressions; None: any."""

    address: str | None = None
    scope: SuppressionScope | None = None
    reason: SuppressionReason | None = None
    lasting_after: datetime | None = None  # leave out what has expired by then


def build_barring_query(address: str, *, service: str, category: str, now: str) -> str:
    """The text of a SELECT of why an address must not be mailed; all four are expressions. The same on both databases.

    An opt-out from marketing bars nothing else, and a service's own suppression bars no other service.
    """
    return f"""SELECT s.reason FROM suppression AS s
    WHERE s.address = {address} AND s.service_id IN ('{INSTANCE.hex}', {service})
      AND (s.scope = '{SuppressionScope.ALL}' OR {category} = '{Category.MARKETING}')
      AND (s.expires_at IS NULL OR s.expires_at > {now})"""  # noqa: S608 - expressions of our own


# -- adding and lifting ------------------------------------------------------------------------------------------------


async def suppress_recipient(
    connection: StatementConnection, recipient: str, *, reason: SuppressionReason, detail: str, now: datetime
) -> None:
    """Never mail this address again, whoever asks; what bars it for ever already stays as it is."""
    wish = NewSuppression(
        address=recipient,
        service_id=INSTANCE,
        scope=SuppressionScope.ALL,
        reason=reason,
        detail=detail[:MAX_DETAIL_LENGTH],
        created_by=SENDER_ACTOR,
    )
    insert = (
        (sqlite if connection.dialect.name == "sqlite" else postgresql)
        .insert(Suppression)
        .values(_build_suppression_row(wish, now))
    )
    # One that would end, or has ended, becomes one that does not: what a relay says now is newer.
    renewed = {name: insert.excluded[name] for name in _build_suppression_row(wish, now)} | {"expires_at": None}
    statement = insert.on_conflict_do_update(
        index_elements=_ONE_EACH, set_=renewed, where=_suppression.expires_at.is_not(None)
    )
    await connection.execute(statement)


async def add_suppression(
    connection: AsyncConnection, wish: NewSuppression, now: datetime
) -> tuple[SuppressionFate, SuppressionView, SuppressionView | None]:
    """Suppress an address: what became of the wish, how it stands now, and what was there before, expired or not.

    The first reason stays, and the later end; one that has expired counts for nothing and makes room.
    """
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(Suppression)
    statement = insert.values(_build_suppression_row(wish, now)).on_conflict_do_nothing(index_elements=_ONE_EACH)
    while True:
        added = (await connection.execute(statement.returning(*_suppression))).mappings().one_or_none()
        if added is not None:
            return SuppressionFate.ADDED, SuppressionView(**added), None
        found = (await connection.execute(_select_same(wish).with_for_update())).mappings().one_or_none()
        if found is not None:  # else it was lifted at this moment, and there is room now
            return await _extend_existing(connection, wish, SuppressionView(**found), now)


async def _extend_existing(
    connection: AsyncConnection, wish: NewSuppression, there: SuppressionView, now: datetime
) -> tuple[SuppressionFate, SuppressionView, SuppressionView | None]:
    if there.expires_at is None or (wish.expires_at is not None and now < wish.expires_at <= there.expires_at):
        return SuppressionFate.UNCHANGED, there, there
    is_over = there.expires_at <= now
    values = _build_suppression_row(wish, now) if is_over else {"expires_at": wish.expires_at}
    statement = update(Suppression).where(_suppression.id == there.id).values(values).returning(*_suppression)
    view = SuppressionView(**(await connection.execute(statement)).mappings().one())
    return (SuppressionFate.ADDED if is_over else SuppressionFate.EXTENDED), view, there


async def lift_suppression(connection: AsyncConnection, owner: UUID | None, id_: UUID) -> SuppressionView:
    """Let the address be mailed again; the suppression as it was. `owner`: a service, or None for the operator.

    Raises `NotFoundError`, `NotYoursError`.
    """
    statement = delete(Suppression).where(_suppression.id == id_)
    if owner is not None:
        statement = statement.where(_suppression.service_id == owner)
    row = (await connection.execute(statement.returning(*_suppression))).mappings().one_or_none()
    if row is None:
        await get_suppression(connection, owner, id_)
        raise NotYoursError
    return SuppressionView(**row)


def build_added_record(fate: SuppressionFate, *, before: SuppressionView | None, after: SuppressionView) -> AuditRecord:
    """What the audit is told of a wish that has changed something."""
    action = AuditAction.SUPPRESSION_ADDED if fate is SuppressionFate.ADDED else AuditAction.SUPPRESSION_EXTENDED
    return _build_suppression_record(
        action, after, before=_describe_for_audit(before) if before else None, after=_describe_for_audit(after)
    )


def build_lifted_record(view: SuppressionView, comment: str) -> AuditRecord:
    """What the audit is told of one that is gone."""
    return _build_suppression_record(
        AuditAction.SUPPRESSION_LIFTED,
        view,
        before=_describe_for_audit(view),
        after={"comment": comment} if comment else None,
    )


def _build_suppression_record(
    action: AuditAction, view: SuppressionView, *, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> AuditRecord:
    return AuditRecord(
        action=action,
        object_kind=ObjectKind.SUPPRESSION,
        object_id=view.id,
        service_id=None if view.is_instance_wide else view.service_id,
        address=view.address,
        before=before,
        after=after,
    )


def _describe_for_audit(view: SuppressionView) -> dict[str, Any]:
    """Without its detail: in the words of people and relays, nobody finds whom to forget."""
    return {name: getattr(view, name) for name in ("scope", "reason", "created_by", "created_at", "expires_at")}


def _build_suppression_row(wish: NewSuppression, now: datetime) -> dict[str, Any]:
    return vars(wish) | {"id": generate_id(), "address": email_address.get_address_key(wish.address), "created_at": now}


def _select_same(wish: NewSuppression) -> Select[Any]:
    """What stands where the wish wants to stand."""
    return select(*_suppression).where(
        _suppression.address == email_address.get_address_key(wish.address),
        _suppression.service_id == wish.service_id,
        _suppression.scope == wish.scope,
    )


# -- looking -----------------------------------------------------------------------------------------------------------


async def get_suppression(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> SuppressionView:
    """The suppression, if it is the service's own or the instance's; None: an operator, who sees all."""
    statement = select(*_suppression).where(_suppression.id == id_)
    if service_id is not None:
        statement = statement.where(_suppression.service_id.in_((service_id, INSTANCE)))
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such suppression")
    return SuppressionView(**row)


async def list_effective_suppressions(
    connection: AsyncConnection, service_id: UUID, wanted: SuppressionFilter, *, before: UUID | None, limit: int
) -> list[SuppressionView]:
    """What stops a service's mail, newest first: its own ones, and the instance's of addresses that it has mailed.

    Of other addresses the instance's are not listed, or each service would learn whom the others write to; who asks
    for one address is told, because a submit to it tells as much.
    """
    own = _select_filtered(wanted, before).where(_suppression.service_id == service_id)
    shared = _select_filtered(wanted, before).where(_suppression.service_id == INSTANCE)
    if wanted.address is None:
        mailed = exists().where(
            _notification.service_id == service_id, _notification.address_key == _suppression.address
        )
        shared = shared.where(mailed)
    # Each half in the order of an index and no longer than the page, so that neither reads the other's rows.
    halves = [half.order_by(_suppression.id.desc()).limit(limit).subquery() for half in (own, shared)]
    both = union_all(*(select(half) for half in halves)).subquery()
    found = await connection.execute(select(both).order_by(both.c.id.desc()).limit(limit))
    return [SuppressionView(**row) for row in found.mappings()]


async def list_owned_suppressions(
    connection: AsyncConnection, owner: UUID, wanted: SuppressionFilter, *, limit: int, before: UUID | None = None
) -> list[SuppressionView]:
    """The newest suppressions of a service, or of `INSTANCE`, that are older than `before`."""
    statement = _select_filtered(wanted, before).where(_suppression.service_id == owner)
    found = await connection.execute(statement.order_by(_suppression.id.desc()).limit(limit))
    return [SuppressionView(**row) for row in found.mappings()]


def _select_filtered(wanted: SuppressionFilter, before: UUID | None) -> Select[Any]:
    statement = select(*_suppression)
    for name in ("address", "scope", "reason"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(_suppression[name] == value)
    if wanted.lasting_after is not None:
        lasts = or_(_suppression.expires_at.is_(None), _suppression.expires_at > wanted.lasting_after)
        statement = statement.where(lasts)
    return statement if before is None else statement.where(_suppression.id < before)
