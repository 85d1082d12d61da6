"""The operations on API keys: list, create, rotate and revoke. Each change writes its own audit record.

A key never creates a stronger one: with a scope that it lacks, a kind whose mail goes further, a higher rate or a later
end.
"""

import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.auth.authenticated_key import DEFAULT_SCOPES, SERVICE_SCOPES, Caller, KeyScope, StrongerKindError
from notifier.auth.authenticator import hash_secret
from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.states import KeyKind

_key, _service = get_columns(ApiKey), get_columns(Service)
DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=30)
MAX_KEY_NAME_LENGTH = 64
MAX_KEYS_PER_SERVICE = 100
"""Valid keys of a service at the same time; all admin keys together have the same limit."""
_ALPHABET = string.ascii_letters + string.digits


class TooManyKeysError(NotifierError):
    """There are 100 valid keys, which is the maximum: revoke one, or rotate without overlap."""


class KeyEndedError(NotifierError):
    """The key was revoked or has expired: create a new one."""


class KeyReplacedError(NotifierError):
    """The key has been rotated already: rotate the one in `replaced_by`."""


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """The properties of a key that is to be created."""

    name: str = ""
    kind: KeyKind = KeyKind.LIVE
    scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES
    expires_at: datetime | None = None  # None: never
    rate_per_minute: int | None = None  # notifications; None: as the settings say


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
    properties: NewKey,
    *,
    actor: Actor,
    limited_by: Caller | None = None,
) -> tuple[KeyView, str]:
    """Create a key of the service, or an admin key if `service_id` is None.

    Returns the key's view, and the key itself, which cannot be read again. `limited_by`: whose own key limits the new
    one; None: an operator, who has no limits. Raises `TooManyKeysError`, what `limit_new_key` raises, and
    `InvalidRequestError` if the new key would end after the caller's own.
    """
    if limited_by is not None:
        limited = limit_new_key(limited_by, properties)
        if properties.expires_at is not None and limited.expires_at != properties.expires_at:
            detail = f"your own key ends at {limited.expires_at}, and a key that it creates ends no later"
            raise InvalidRequestError([Fault("/expires_at", "time_out_of_range", detail)])
        properties = limited
    view, key = await _add_key(connection, service_id, properties, actor.at)
    await _record(connection, AuditAction.KEY_CREATED, view, actor)
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
    Raises `NotFoundError`, `KeyEndedError`, `KeyReplacedError`, `TooManyKeysError`, and what `limit_new_key` raises.
    """
    before = await _lock_key(connection, which, limited_by)
    properties = _build_successor(before, actor.at)
    if limited_by is not None:  # otherwise a key with the scope keys:manage could get the successor of a stronger key
        properties = limit_new_key(limited_by, properties)
    if before.has_ended(actor.at):
        raise KeyEndedError
    if before.replaced_by is not None:
        raise KeyReplacedError
    ends = actor.at + min(overlap, MAX_OVERLAP)
    ends = ends if before.expires_at is None else min(before.expires_at, ends)
    ending = update(ApiKey).where(_key.id == before.id)
    await connection.execute(ending.values(expires_at=ends))  # first: without overlap it makes room for the new one
    new, key = await _add_key(connection, before.service_id, properties, actor.at)
    await connection.execute(ending.values(replaced_by=new.id))
    old = replace(before, expires_at=ends, replaced_by=new.id)
    await _record(connection, AuditAction.KEY_ROTATED, old, actor, before)
    await _record(connection, AuditAction.KEY_CREATED, new, actor)
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
    await connection.execute(update(ApiKey).where(_key.id == before.id).values(revoked_at=actor.at))
    after = replace(before, revoked_at=actor.at)
    await _record(connection, AuditAction.KEY_REVOKED, after, actor, before)
    return after


def limit_new_key(caller: Caller, properties: NewKey) -> NewKey:
    """Limit a new key to the rate and the end of the caller's own key.

    Raises `InsufficientScopeError` or `StrongerKindError` for a scope or kind that the caller may not give.
    """
    for scope in properties.scopes:
        caller.require_scope(scope)
    _require_reach(caller, properties.kind)
    rates = [rate for rate in (properties.rate_per_minute, caller.key_rate) if rate]
    ends = [end for end in (properties.expires_at, caller.expires_at) if end is not None]
    return replace(properties, rate_per_minute=min(rates, default=None), expires_at=min(ends, default=None))


def _require_reach(caller: Caller, kind: KeyKind) -> None:
    """Raise `StrongerKindError` if mail of this kind of key goes further than the caller's."""
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
    connection: AsyncConnection, service_id: UUID | None, properties: NewKey, now: datetime
) -> tuple[KeyView, str]:
    # Two requests that create a key of one service wait for each other here, so that there is never one too many.
    await connection.execute(select(_service.id).where(_service.id == service_id).with_for_update(key_share=True))
    valid = select(func.count()).select_from(ApiKey).where(_key.service_id == service_id, *_is_valid_after(now))
    if int((await connection.execute(valid)).scalar_one()) >= MAX_KEYS_PER_SERVICE:
        raise TooManyKeysError
    id_, key = await insert_key(connection, service_id, properties, now=now)
    return await get_key(connection, service_id, id_), key


async def _record(
    connection: AsyncConnection, action: AuditAction, view: KeyView, actor: Actor, before: KeyView | None = None
) -> None:
    names = ("name", "prefix", "kind", "scopes", "expires_at", "revoked_at", "replaced_by", "rate_per_minute")
    record = AuditRecord(
        action=action,
        object_id=view.id,
        service_id=view.service_id,
        before={name: getattr(before, name) for name in names} if before else None,
        after={name: getattr(view, name) for name in names},
    )
    await audit.write_audit_record(connection, record, actor)


async def get_key(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> KeyView:
    """Get a key of the service, or an admin key if `service_id` is None. Raises `NotFoundError`."""
    return await _fetch_key(connection, _select_keys().where(_key.service_id == service_id, _key.id == id_))


async def _lock_key(connection: AsyncConnection, which: UUID | str, limited_by: Caller | None) -> KeyView:
    """Lock the key with this id or prefix until the transaction ends; a caller finds keys of its own service only."""
    statement = _select_keys().where(_key.id == which if isinstance(which, UUID) else _key.prefix == which)
    if limited_by is not None:
        statement = statement.where(_key.service_id == limited_by.service_id)
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
        statement = statement.where(_key.service_id == service_id)
    if lasting_after is not None:
        statement = statement.where(*_is_valid_after(lasting_after))
    if before is not None:
        statement = statement.where(_key.id < before)
    rows = await connection.execute(statement.order_by(_key.id.desc()).limit(limit))
    return [KeyView(**row) for row in rows.mappings()]


def _is_valid_after(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return _key.revoked_at.is_(None), or_(_key.expires_at.is_(None), _key.expires_at > now)


def _select_keys() -> Select[Any]:
    return select(*(_key[name] for name in KeyView.__dataclass_fields__))


async def _fetch_key(connection: AsyncConnection, statement: Select[Any]) -> KeyView:
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such key")
    return KeyView(**row)


async def create_live_key(
    connection: AsyncConnection, service_id: UUID, *, scopes: Sequence[KeyScope] = DEFAULT_SCOPES, now: datetime
) -> str:
    """Create a live key of the service without an audit record; the key cannot be read again."""
    return (await insert_key(connection, service_id, NewKey(scopes=tuple(scopes)), now=now))[1]


async def insert_key(
    connection: AsyncConnection, service_id: UUID | None, properties: NewKey, *, now: datetime
) -> tuple[UUID, str]:
    """Insert a key of the service, or an admin key if `service_id` is None; returns its id and the key itself.

    A service's key never gets a scope that only admin keys can have.
    """
    allowed = tuple(KeyScope) if service_id is None else SERVICE_SCOPES
    kind = properties.kind.value if service_id else "admin"
    prefix = f"ntf_{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(32))
    id_ = generate_id()
    values = {
        "id": id_,
        "service_id": service_id,
        "name": properties.name,
        "prefix": prefix,
        "secret_hash": hash_secret(secret),
        "kind": properties.kind,
        "scopes": [scope.value for scope in allowed if scope in properties.scopes],
        "expires_at": properties.expires_at,
        "rate_per_minute": properties.rate_per_minute,
        "created_at": now,
    }
    await connection.execute(insert(ApiKey).values(values))
    return id_, prefix + secret
