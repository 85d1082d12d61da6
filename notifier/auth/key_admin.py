"""The operations on API keys: list, create, rotate and revoke. Each change writes its own audit record.

A key never creates a stronger one: no scope that it lacks, no kind whose mail goes further, no higher rate, no later
end.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord, ObjectKind
from notifier.auth.authenticated_key import Caller, StrongerKindError
from notifier.auth.key_scope import KeyScope
from notifier.auth.new_key import NewKey, insert_key
from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.states import KeyKind

_key_columns, _service_columns = get_columns(ApiKey), get_columns(Service)
DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=30)
MAX_KEY_NAME_LENGTH = 64
MAX_KEYS_PER_SERVICE = 100
"""Valid keys of a service at the same time; all admin keys together have the same limit."""


class TooManyKeysError(NotifierError):
    """The service has the maximum number of valid keys."""

    def __init__(self) -> None:
        super().__init__(
            f"there are {MAX_KEYS_PER_SERVICE} valid keys, which is the maximum: revoke one, or rotate without overlap"
        )


class KeyEndedError(NotifierError):
    """The key was revoked or has expired: create a new one."""


class KeyReplacedError(NotifierError):
    """The key has been rotated already: rotate the one in `replaced_by`."""


@dataclass(frozen=True, kw_only=True)
class KeyView:
    """A key without its secret."""

    id: UUID
    service_id: UUID | None  # None: an admin key
    name: str
    prefix: str
    kind: KeyKind
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None  # to within a minute
    replaced_by: UUID | None
    rate_per_minute: int | None

    def has_ended(self, now: datetime) -> bool:
        """Whether the key is revoked or expired."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)


async def create_key(
    connection: AsyncConnection,
    service_id: UUID | None,
    wish: NewKey,
    *,
    actor: Actor,
    limited_by: Caller | None = None,
) -> tuple[KeyView, str]:
    """Create a key of the service, or an admin key if `service_id` is None.

    Returns the key's view, and the key itself, which cannot be read again.
    `limited_by` is the caller whose own key limits the new one; None: an operator, who has no limits.
    Raises `TooManyKeysError`, and as `limit_wish`; `InvalidRequestError` if it would end after the caller's own key.
    """
    if limited_by is not None:
        limited = limit_new_key(limited_by, wish)
        if wish.expires_at is not None and limited.expires_at != wish.expires_at:
            detail = f"your own key ends at {limited.expires_at}, and a key that it creates ends no later"
            raise InvalidRequestError([Fault("/expires_at", "time_out_of_range", detail)])
        wish = limited
    view, key = await _add_key(connection, service_id, wish, actor.at)
    await audit.write_audit_record(connection, _build_record(AuditAction.KEY_CREATED, view), actor)
    return view, key


async def rotate_key(
    connection: AsyncConnection,
    which: UUID | str,
    *,
    actor: Actor,
    overlap: timedelta = DEFAULT_OVERLAP,
    limited_by: Caller | None = None,
) -> tuple[KeyView, KeyView, str]:
    """Replace a key, given by its id or prefix, by a new one; the old one ends after the overlap.

    Returns the views of the old and the new key, and the new key itself. The new key has the whole lifetime of the old
    one; with `limited_by` it ends no later than the caller's own key.
    Raises `NotFoundError`, `KeyEndedError`, `KeyReplacedError`, `TooManyKeysError`, and as `limit_wish`.
    """
    before = await _lock_key(connection, which, limited_by)
    wish = _build_successor(before, actor.at)
    if limited_by is not None:  # otherwise a key with the scope keys:manage could get the successor of a stronger key
        wish = limit_new_key(limited_by, wish)
    if before.has_ended(actor.at):
        raise KeyEndedError
    if before.replaced_by is not None:
        raise KeyReplacedError
    ends = actor.at + min(overlap, MAX_OVERLAP)
    ends = ends if before.expires_at is None else min(before.expires_at, ends)
    ending = update(ApiKey).where(_key_columns.id == before.id)
    await connection.execute(ending.values(expires_at=ends))  # first: without overlap it makes room for the new one
    new, key = await _add_key(connection, before.service_id, wish, actor.at)
    await connection.execute(ending.values(replaced_by=new.id))
    old = replace(before, expires_at=ends, replaced_by=new.id)
    await audit.write_audit_record(connection, _build_record(AuditAction.KEY_ROTATED, old, before), actor)
    await audit.write_audit_record(connection, _build_record(AuditAction.KEY_CREATED, new), actor)
    return old, new, key


async def revoke_key(
    connection: AsyncConnection, which: UUID | str, *, actor: Actor, limited_by: Caller | None = None
) -> KeyView:
    """Revoke a key, given by its id or prefix. One that is revoked already is not changed.

    Raises `NotFoundError`, and `StrongerKindError` if `limited_by` has a weaker key.
    """
    before = await _lock_key(connection, which, limited_by)
    if limited_by is not None:
        _require_reach(limited_by, before.kind)
    if before.revoked_at is not None:
        actor.record_no_change()
        return before
    await connection.execute(update(ApiKey).where(_key_columns.id == before.id).values(revoked_at=actor.at))
    after = replace(before, revoked_at=actor.at)
    await audit.write_audit_record(connection, _build_record(AuditAction.KEY_REVOKED, after, before), actor)
    return after


def limit_new_key(caller: Caller, wish: NewKey) -> NewKey:
    """Limit a new key to the rate and the end of the caller's own key.

    Raises `InsufficientScopeError` or `StrongerKindError` for a scope or kind that the caller may not give.
    """
    for scope in wish.scopes:
        caller.require_scope(scope)
    _require_reach(caller, wish.kind)
    rates = [rate for rate in (wish.rate_per_minute, caller.key_rate) if rate]
    ends = [end for end in (wish.expires_at, caller.expires_at) if end is not None]
    return replace(wish, rate_per_minute=min(rates, default=None), expires_at=min(ends, default=None))


def _require_reach(caller: Caller, kind: KeyKind) -> None:
    """Raise `StrongerKindError` if the mail of such a key goes further than the caller's."""
    if kind not in caller.kinds_in_reach:
        raise StrongerKindError(f"a {caller.kind.value} key neither creates nor ends a {kind.value} key")


def _build_successor(old: KeyView, now: datetime) -> NewKey:
    life = old.expires_at - old.created_at if old.expires_at is not None else None
    return NewKey(
        name=old.name,
        kind=old.kind,
        scopes=tuple(scope for scope in KeyScope if scope.value in old.scopes),
        expires_at=now + life if life is not None else None,
        rate_per_minute=old.rate_per_minute,
    )


async def _add_key(
    connection: AsyncConnection, service_id: UUID | None, wish: NewKey, now: datetime
) -> tuple[KeyView, str]:
    # Two requests that create a key of one service wait for each other here, so that there is never one too many.
    await connection.execute(
        select(_service_columns.id).where(_service_columns.id == service_id).with_for_update(key_share=True)
    )
    valid = select(func.count()).select_from(ApiKey).where(_key_columns.service_id == service_id, *_is_valid_after(now))
    if int((await connection.execute(valid)).scalar_one()) >= MAX_KEYS_PER_SERVICE:
        raise TooManyKeysError
    id_, key = await insert_key(connection, service_id, wish, now=now)
    return await get_key(connection, service_id, id_), key


def _build_record(action: AuditAction, view: KeyView, before: KeyView | None = None) -> AuditRecord:
    return AuditRecord(
        action=action,
        object_kind=ObjectKind.KEY,
        object_id=view.id,
        service_id=view.service_id,
        before=_list_audited_fields(before) if before else None,
        after=_list_audited_fields(view),
    )


def _list_audited_fields(view: KeyView) -> dict[str, Any]:
    names = ("name", "prefix", "kind", "scopes", "expires_at", "revoked_at", "replaced_by", "rate_per_minute")
    return {name: getattr(view, name) for name in names}


async def get_key(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> KeyView:
    """Get a key of the service, or an admin key if `service_id` is None. Raises `NotFoundError`."""
    return await _fetch_key(
        connection, _select_keys().where(_key_columns.service_id == service_id, _key_columns.id == id_)
    )


async def _lock_key(connection: AsyncConnection, which: UUID | str, limited_by: Caller | None) -> KeyView:
    """Lock the key with this id or prefix until the transaction ends; a caller finds keys of its own service only."""
    statement = _select_keys().where(
        _key_columns.id == which if isinstance(which, UUID) else _key_columns.prefix == which
    )
    if limited_by is not None:
        statement = statement.where(_key_columns.service_id == limited_by.service_id)
    return await _fetch_key(connection, statement.with_for_update())


async def list_keys(
    connection: AsyncConnection,
    service_id: UUID | None,
    *,
    lasting_after: datetime | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[KeyView]:
    """List a service's keys, newest first; all keys if `service_id` is None.

    `lasting_after` leaves out keys that have ended by then. `before` is the id of the last key of the page before.
    """
    statement = _select_keys()
    if service_id is not None:
        statement = statement.where(_key_columns.service_id == service_id)
    if lasting_after is not None:
        statement = statement.where(*_is_valid_after(lasting_after))
    if before is not None:
        statement = statement.where(_key_columns.id < before)
    rows = await connection.execute(statement.order_by(_key_columns.id.desc()).limit(limit))
    return [KeyView(**row) for row in rows.mappings()]


def _is_valid_after(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return _key_columns.revoked_at.is_(None), or_(_key_columns.expires_at.is_(None), _key_columns.expires_at > now)


def _select_keys() -> Select[Any]:
    return select(*(_key_columns[name] for name in KeyView.__dataclass_fields__))


async def _fetch_key(connection: AsyncConnection, statement: Select[Any]) -> KeyView:
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such key")
    return KeyView(**row)
