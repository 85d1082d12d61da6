"""Writes new API keys. Only `notifier.auth.key_admin` checks who may create which key, and writes audit records."""

import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth.authenticated_key import hash_secret
from notifier.auth.key_scope import DEFAULT_SCOPES, SERVICE_SCOPES, KeyScope
from notifier.db.tables import ApiKey
from notifier.ids import generate_id
from notifier.states import KeyKind

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """The properties of a key that is to be created."""

    name: str = ""
    kind: KeyKind = KeyKind.LIVE
    scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES
    expires_at: datetime | None = None  # None: never
    rate_per_minute: int | None = None  # notifications; None: as the settings say


async def create_live_key(
    connection: AsyncConnection, service_id: UUID, *, scopes: Sequence[KeyScope] = DEFAULT_SCOPES, now: datetime
) -> str:
    """Create a live key of the service without an audit record; the key cannot be read again."""
    _, key = await insert_key(connection, service_id, NewKey(scopes=tuple(scopes)), now=now)
    return key


async def insert_key(
    connection: AsyncConnection, service_id: UUID | None, wish: NewKey, *, now: datetime
) -> tuple[UUID, str]:
    """Insert a key of the service, or an admin key if `service_id` is None; returns its id and the key itself.

    A service's key never gets a scope that only admin keys can have.
    """
    allowed = tuple(KeyScope) if service_id is None else SERVICE_SCOPES
    kind = wish.kind.value if service_id else "admin"
    prefix = f"ntf_{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(32))
    id_ = generate_id()
    values = {
        "id": id_,
        "service_id": service_id,
        "name": wish.name,
        "prefix": prefix,
        "secret_hash": hash_secret(secret),
        "kind": wish.kind,
        "scopes": [scope.value for scope in allowed if scope in wish.scopes],
        "expires_at": wish.expires_at,
        "rate_per_minute": wish.rate_per_minute,
        "created_at": now,
    }
    await connection.execute(insert(ApiKey).values(values))
    return id_, prefix + secret
