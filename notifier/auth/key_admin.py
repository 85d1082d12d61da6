"""A key's life after it was made: seen, rotated, revoked; and what one key may give to another.

A key never gives more than it has itself: no scope that it lacks, no kind whose mail goes further than its own, no
higher rate and no later end.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import AuditAction, AuditRecord, ObjectKind
from notifier.auth import authenticated_key
from notifier.auth.authenticated_key import Caller, NewKey, StrongerKindError
from notifier.auth.key_scope import KeyScope
from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.states import KeyKind

_key_columns, _service_columns = get_columns(ApiKey), get_columns(Service)
DEFAULT_OVERLAP = timedelta(hours=24)
MAX_OVERLAP = timedelta(days=30)
MAX_KEY_NAME_LENGTH = 64
MAX_KEYS_PER_SERVICE = 100
"""Keys of a service that are valid at the same time; admin keys together count as one service's."""


class TooManyKeysError(NotifierError):
    """There are as many valid keys as there may be."""

    def __init__(self) -> None:
        super().__init__(
            f"there may be {MAX_KEYS_PER_SERVICE} valid keys, and there are: revoke one, or rotate without overlap"
        )


class KeyEndedError(NotifierError):
    """The key was revoked or has expired: make a new one."""


class KeyReplacedError(NotifierError):
    """The key has been rotated already: rotate the one in `replaced_by`."""


@dataclass(frozen=True, kw_only=True)
class KeyView:
    """A key as those see it who look after it."""

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
        """True if it opens nothing any more."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)


def require_reach(caller: Caller, kind: KeyKind) -> None:
    """Raise `StrongerKindError` if the mail of such a key goes further than the caller's."""
    if kind not in caller.kinds_in_reach:
        raise StrongerKindError(f"a {caller.kind.value} key neither makes nor ends a {kind.value} key")


def limit_new_key(caller: Caller, wish: NewKey) -> NewKey:
    """The new key with no higher rate and no later end than the caller's own.

    Raises `InsufficientScopeError` or `StrongerKindError` if it would have a scope or a reach that the caller lacks.
    """
    for scope in wish.scopes:
        caller.require_scope(scope)
    require_reach(caller, wish.kind)
    rates = [rate for rate in (wish.rate_per_minute, caller.key_rate) if rate]
    ends = [end for end in (wish.expires_at, caller.expires_at) if end is not None]
    return replace(wish, rate_per_minute=min(rates, default=None), expires_at=min(ends, default=None))


async def add_key(
    connection: AsyncConnection, service_id: UUID | None, wish: NewKey, now: datetime
) -> tuple[KeyView, str]:
    """A new key as it stands, and the key itself, which cannot be read again. Raises `TooManyKeysError`."""
    await _require_room(connection, service_id, now)
    id_, key = await authenticated_key.insert_key(connection, service_id, wish, now=now)
    return await get_key(connection, service_id, id_), key


async def _require_room(connection: AsyncConnection, service_id: UUID | None, now: datetime) -> None:
    # Whoever makes a key of a service waits for the one before, so that there is never one too many.
    await connection.execute(
        select(_service_columns.id).where(_service_columns.id == service_id).with_for_update(key_share=True)
    )
    valid = select(func.count()).select_from(ApiKey).where(_key_columns.service_id == service_id, *_is_valid_after(now))
    if int((await connection.execute(valid)).scalar_one()) >= MAX_KEYS_PER_SERVICE:
        raise TooManyKeysError


def build_successor(old: KeyView, now: datetime) -> NewKey:
    """What takes the key's place: a key like it, which lives as long as the old one was meant to."""
    life = old.expires_at - old.created_at if old.expires_at is not None else None
    return NewKey(
        name=old.name,
        kind=old.kind,
        scopes=tuple(scope for scope in KeyScope if scope.value in old.scopes),
        expires_at=now + life if life is not None else None,
        rate_per_minute=old.rate_per_minute,
    )


async def rotate(
    connection: AsyncConnection, old: KeyView, wish: NewKey, overlap: timedelta, now: datetime
) -> tuple[KeyView, KeyView, str]:
    """Put a new key in the old one's place, which ends after the overlap: the old, the new, and the new key itself.

    `old` is one that `locked` has found, and `wish` what `successor_of` says. Raises `TooManyKeysError`.
    """
    ends = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
    ending = update(ApiKey).where(_key_columns.id == old.id)
    await connection.execute(ending.values(expires_at=ends))  # first: without overlap it makes room for the new one
    new, key = await add_key(connection, old.service_id, wish, now)
    await connection.execute(ending.values(replaced_by=new.id))
    return replace(old, expires_at=ends, replaced_by=new.id), new, key


async def revoke(connection: AsyncConnection, old: KeyView, now: datetime) -> KeyView:
    """End the key now; one that is revoked already stays as it is. `old` is one that `locked` has found."""
    if old.revoked_at is not None:
        return old
    await connection.execute(update(ApiKey).where(_key_columns.id == old.id).values(revoked_at=now))
    return replace(old, revoked_at=now)


def require_rotatable(view: KeyView, now: datetime) -> None:
    """Raise `KeyEndedError` or `KeyReplacedError` if there is nothing to rotate."""
    if view.has_ended(now):
        raise KeyEndedError
    if view.replaced_by is not None:
        raise KeyReplacedError


def created(view: KeyView) -> AuditRecord:
    """What the audit is told of a new key."""
    return _build_key_record(AuditAction.KEY_CREATED, view, before=None)


def rotated(before: KeyView, after: KeyView) -> AuditRecord:
    """What the audit is told of a rotation."""
    return _build_key_record(AuditAction.KEY_ROTATED, after, before=_list_audited_fields(before))


def revoked(before: KeyView, after: KeyView) -> AuditRecord:
    """What the audit is told of a revocation."""
    return _build_key_record(AuditAction.KEY_REVOKED, after, before=_list_audited_fields(before))


def _build_key_record(action: AuditAction, view: KeyView, *, before: dict[str, Any] | None) -> AuditRecord:
    return AuditRecord(
        action=action,
        object_kind=ObjectKind.KEY,
        object_id=view.id,
        service_id=view.service_id,
        before=before,
        after=_list_audited_fields(view),
    )


def _list_audited_fields(view: KeyView) -> dict[str, Any]:
    names = ("name", "prefix", "kind", "scopes", "expires_at", "revoked_at", "replaced_by", "rate_per_minute")
    return {name: getattr(view, name) for name in names}


# -- looking -----------------------------------------------------------------------------------------------------------


async def get_key(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> KeyView:
    """A key of the service, or an admin key. Raises `NotFoundError`."""
    return await _fetch_key(
        connection, _select_keys().where(_key_columns.service_id == service_id, _key_columns.id == id_)
    )


async def lock_key(connection: AsyncConnection, service_id: UUID, id_: UUID) -> KeyView:
    """The same for who is about to change it."""
    return await _fetch_key(
        connection,
        _select_keys().where(_key_columns.service_id == service_id, _key_columns.id == id_).with_for_update(),
    )


async def lock_key_by_name(connection: AsyncConnection, which: UUID | str) -> KeyView:
    """The key of any service that has this id or prefix, for an operator who is about to change it."""
    condition = _key_columns.id == which if isinstance(which, UUID) else _key_columns.prefix == which
    return await _fetch_key(connection, _select_keys().where(condition).with_for_update())


async def list_keys(
    connection: AsyncConnection,
    service_id: UUID | None,
    *,
    lasting_after: datetime | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[KeyView]:
    """A service's keys, newest first; service None: all there are. `lasting_after`: without those ended by then."""
    statement = _select_keys()
    if service_id is not None:
        statement = statement.where(_key_columns.service_id == service_id)
    if lasting_after is not None:
        statement = statement.where(*_is_valid_after(lasting_after))
    if before is not None:
        statement = statement.where(_key_columns.id < before)
    found = await connection.execute(statement.order_by(_key_columns.id.desc()).limit(limit))
    return [KeyView(**row) for row in found.mappings()]


def _is_valid_after(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return _key_columns.revoked_at.is_(None), or_(_key_columns.expires_at.is_(None), _key_columns.expires_at > now)


def _select_keys() -> Select[Any]:
    return select(*(_key_columns[name] for name in KeyView.__dataclass_fields__))


async def _fetch_key(connection: AsyncConnection, statement: Select[Any]) -> KeyView:
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such key")
    return KeyView(**row)
