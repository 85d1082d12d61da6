"""The operations on API keys: create, rotate and revoke. Each change writes its own audit record.

A key never creates a stronger one: with a scope that it lacks, a kind whose mail goes further, a higher rate or a later
end.
"""

import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction, AuditRecord
from notifier.auth import key_lookup
from notifier.auth.authenticated_key import (
    DEFAULT_SCOPES,
    SERVICE_SCOPES,
    AuthenticatedKey,
    Caller,
    KeyScope,
    StrongerKindError,
)
from notifier.auth.authenticator import hash_secret
from notifier.auth.key_lookup import KeyView
from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import Fault, InvalidRequestError, NotifierError
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


async def create_key(
    connection: AsyncConnection,
    service_id: UUID | None,
    properties: NewKey,
    *,
    actor: Actor,
    limited_by: AuthenticatedKey | None = None,
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
    limited_by: AuthenticatedKey | None = None,
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
    connection: AsyncConnection, which: UUID | str, *, actor: Actor, limited_by: AuthenticatedKey | None = None
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


def limit_new_key(caller: AuthenticatedKey, properties: NewKey) -> NewKey:
    """Limit a new key to the rate and the end of the caller's own key.

    Raises `InsufficientScopeError` or `StrongerKindError` for a scope or kind that the caller may not give.
    """
    for scope in properties.scopes:
        caller.require_scope(scope)
    _require_reach(caller, properties.kind)
    rates = [rate for rate in (properties.rate_per_minute, caller.key_rate) if rate]
    ends = [end for end in (properties.expires_at, caller.expires_at) if end is not None]
    return replace(properties, rate_per_minute=min(rates, default=None), expires_at=min(ends, default=None))


def _require_reach(caller: AuthenticatedKey, kind: KeyKind) -> None:
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
    valid = (
        select(func.count()).select_from(ApiKey).where(_key.service_id == service_id, *key_lookup.is_valid_after(now))
    )
    if int((await connection.execute(valid)).scalar_one()) >= MAX_KEYS_PER_SERVICE:
        raise TooManyKeysError
    id_, key = await insert_key(connection, service_id, properties, now=now)
    return await key_lookup.get_key(connection, service_id, id_), key


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


async def _lock_key(connection: AsyncConnection, which: UUID | str, limited_by: AuthenticatedKey | None) -> KeyView:
    """Lock the key with this id or prefix until the transaction ends; a service finds its own keys only."""
    statement = key_lookup.select_keys().where(key_lookup.is_key(which))
    if isinstance(limited_by, Caller):
        statement = statement.where(_key.service_id == limited_by.service_id)
    return await key_lookup.fetch_key(connection, statement.with_for_update())


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
