"""Reads API keys: one by id or prefix, or a page of them. Nothing here has a secret."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import NotFoundError
from notifier.states import KeyKind

_key, _service = get_columns(ApiKey), get_columns(Service)
_SERVICE_NAME = select(_service.name).where(_service.id == _key.service_id).scalar_subquery().label("service")


@dataclass(frozen=True, kw_only=True)
class KeyView:
    """A key without its secret."""

    id: UUID
    service_id: UUID | None  # None: an admin key
    service: str | None  # the name of its service
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


async def get_key(connection: AsyncConnection, service_id: UUID | None, id_: UUID) -> KeyView:
    """Get a key of the service, or an admin key if `service_id` is None. Raises `NotFoundError`."""
    return await fetch_key(connection, select_keys().where(_key.service_id == service_id, _key.id == id_))


async def find_key(connection: AsyncConnection, service_id: UUID | None, which: UUID | str) -> KeyView:
    """Find the key with this id or prefix, of the service or, if that is None, of anybody. Raises `NotFoundError`."""
    statement = select_keys().where(is_key(which))
    return await fetch_key(connection, statement.where(_key.service_id == service_id) if service_id else statement)


def is_key(which: UUID | str) -> ColumnElement[bool]:
    """Build the condition for the key with this id or prefix."""
    return _key.id == which if isinstance(which, UUID) else _key.prefix == which


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
    statement = select_keys()
    if service_id is not None:
        statement = statement.where(_key.service_id == service_id)
    if lasting_after is not None:
        statement = statement.where(*is_valid_after(lasting_after))
    if before is not None:
        statement = statement.where(_key.id < before)
    rows = await connection.execute(statement.order_by(_key.id.desc()).limit(limit))
    return [KeyView(**row) for row in rows.mappings()]


def is_valid_after(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Build the conditions for keys that are valid after this time."""
    return _key.revoked_at.is_(None), or_(_key.expires_at.is_(None), _key.expires_at > now)


def select_keys() -> Select[Any]:
    """Build the statement that reads keys as `KeyView` has them."""
    columns = (_key[name] for name in KeyView.__dataclass_fields__ if name != "service")
    return select(*columns, _SERVICE_NAME)


async def fetch_key(connection: AsyncConnection, statement: Select[Any]) -> KeyView:
    """Fetch the one key of a statement. Raises `NotFoundError`."""
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such key")
    return KeyView(**row)
