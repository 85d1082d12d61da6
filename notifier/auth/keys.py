"""API keys: how they are created, stored as a hash, and compared in constant time.

A key is `ntf_live_` (or `ntf_team_`, `ntf_test_`; `ntf_admin_` if it belongs to no service), twelve characters that
identify it, and a 32-character secret of which only the SHA-256 is stored.
"""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import address
from notifier.auth.lookup_queue import LookupQueue
from notifier.auth.scope import DEFAULT_SCOPES, SERVICE_SCOPES, Scope
from notifier.auth.usage import Usage
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import ApiKey, Service, columns
from notifier.errors import NameTakenError, NotFoundError, NotifierError
from notifier.ids import new_id
from notifier.recall import Recall
from notifier.states import KeyKind

_key, _service = columns(ApiKey), columns(Service)
_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(r"(ntf_(?:live|team|test|admin)_[0-9A-Za-z]{12})([0-9A-Za-z]{32})")
MAX_UNKNOWN_KEYS = 1_000
"""Unknown keys that a process remembers for a second, so that it does not look them up again."""
_NOBODY = hashlib.sha256(b"nobody").digest()
REACH = (KeyKind.TEST, KeyKind.TEAM, KeyKind.LIVE)
"""The kinds of keys by whom their mail reaches: nobody, the team, anybody."""


class UnauthenticatedError(NotifierError):
    """The request carries no valid API key."""


class InsufficientScopeError(NotifierError):
    """The API key lacks a scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        super().__init__(f"this key lacks the scope {scope.value}")


class StrongerKindError(NotifierError):
    """Only a key of a stronger kind may do this."""


class NotOfServiceError(NotifierError):
    """An admin key belongs to no service and cannot use a service's routes."""


@dataclass(frozen=True, kw_only=True)
class Keyholder:
    """The key of a request: a service's or an admin key."""

    key_id: UUID
    kind: KeyKind
    scopes: frozenset[str]
    expires_at: datetime | None
    key_rate: int | None  # notifications a minute; None: as the settings say

    @property
    def actor(self) -> str:
        """The name under which records are written."""
        return f"key:{self.key_id}"

    def require(self, scope: Scope) -> None:
        """Raise `InsufficientScopeError` unless the key has the scope."""
        if scope.value not in self.scopes:
            raise InsufficientScopeError(scope)

    @property
    def reach(self) -> tuple[KeyKind, ...]:
        """Its own kind and all weaker kinds: the key may change what keys of these kinds submitted."""
        return REACH[: REACH.index(self.kind) + 1]

    def require_live(self, action: str) -> None:
        """Raise `StrongerKindError` unless the key is live or an admin key; `action` completes "only a live key"."""
        if self.kind is not KeyKind.LIVE:
            raise StrongerKindError(f"only a live key {action}; this is a {self.kind.value} key")


@dataclass(frozen=True, kw_only=True)
class Caller(Keyholder):
    """The key of a service, and what the service may do."""

    service_id: UUID
    service: str
    from_domains: tuple[str, ...]  # empty: only the instance's own From address
    team: frozenset[str]  # whom a team key may mail: addresses, and domains as "@example.org", as `address.key` does
    service_rate: int | None  # notifications a minute; None: as the settings say

    def may_mail(self, recipient: str) -> bool:
        """Whether the key may mail the recipient: a team key mails the team and simulated recipients only."""
        key = address.key(recipient)
        if self.kind is not KeyKind.TEAM or address.is_simulated(key):
            return True
        return key in self.team or f"@{address.domain(key)}" in self.team


def of_service(key: Keyholder) -> Caller:
    """Return the key as a service's. Raises `NotOfServiceError` for an admin key."""
    if not isinstance(key, Caller):
        raise NotOfServiceError
    return key


@dataclass(frozen=True, kw_only=True)
class Wish:
    """The properties of a key that is to be created."""

    name: str = ""
    kind: KeyKind = KeyKind.LIVE
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    expires_at: datetime | None = None  # None: never
    rate_per_minute: int | None = None  # notifications; None: as the settings say


_FoundKey = tuple[bytes, Keyholder]
"""The hash of a key's secret, and the key that it proves."""


def may_send_from(sender: str, default: str, domains: Collection[str]) -> bool:
    """Whether a service with these domains may use the address in From; `default` is the instance's own address."""
    return sender == default or address.domain(sender) in domains


async def create_service(
    connection: AsyncConnection,
    name: str,
    *,
    from_domains: Sequence[str],
    team: Sequence[str] = (),
    rate_per_minute: int | None = None,
    now: datetime,
) -> UUID:
    """Create a service and return its id. Raises `NameTakenError`.

    `team` has addresses, and domains as "@example.org".
    """
    values = {
        "id": new_id(),
        "name": name,
        "from_domains": [domain.lower() for domain in from_domains],
        "team_recipients": list(team),
        "rate_per_minute": rate_per_minute,
        "created_at": now,
    }
    try:
        await connection.execute(insert(Service).values(values))
    except IntegrityError as error:
        raise NameTakenError(f"there is a service named {name!r} already") from error
    return UUID(str(values["id"]))


async def find_service(connection: AsyncConnection, name: str) -> UUID:
    """Find the id of the service with this name. Raises `NotFoundError`."""
    id_ = (await connection.execute(select(_service.id).where(_service.name == name))).scalar_one_or_none()
    if id_ is None:
        raise NotFoundError(f"there is no service named {name!r}")
    return UUID(str(id_))


async def create_key(
    connection: AsyncConnection, service_id: UUID, *, scopes: Sequence[Scope] = DEFAULT_SCOPES, now: datetime
) -> str:
    """Create a live key of the service without an audit record; the key cannot be read again."""
    _, key = await issue(connection, service_id, Wish(scopes=tuple(scopes)), now=now)
    return key


async def issue(connection: AsyncConnection, service_id: UUID | None, wish: Wish, *, now: datetime) -> tuple[UUID, str]:
    """Insert a key of the service, or an admin key if `service_id` is None; returns its id and the key itself.

    A service's key never gets a scope that only admin keys can have.
    """
    allowed = tuple(Scope) if service_id is None else SERVICE_SCOPES
    kind = wish.kind.value if service_id else "admin"
    prefix = f"ntf_{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(32))
    id_ = new_id()
    values = {
        "id": id_,
        "service_id": service_id,
        "name": wish.name,
        "prefix": prefix,
        "secret_hash": _hashed(secret),
        "kind": wish.kind,
        "scopes": [scope.value for scope in allowed if scope in wish.scopes],
        "expires_at": wish.expires_at,
        "rate_per_minute": wish.rate_per_minute,
        "created_at": now,
    }
    await connection.execute(insert(ApiKey).values(values))
    return id_, prefix + secret


def prefix_of(key: str) -> str | None:
    """Get the prefix of a key; `key` may be the prefix alone. None if it is neither."""
    match = _KEY.fullmatch(key) or _KEY.fullmatch(key + "0" * 32)
    return match[1] if match else None


class Authenticator:
    """Authenticates keys; caches each for a second."""

    def __init__(self, database: Database, clock: Clock, usage: Usage | None = None) -> None:
        self._database = database
        self._clock = clock
        self._usage = usage  # None: the time of the last use is not written
        lookups = LookupQueue(self._find)
        self._known: Recall[str, _FoundKey] = Recall(lookups.look_up, clock, max_misses=MAX_UNKNOWN_KEYS)

    async def caller_of(self, authorization: str | None) -> Caller:
        """Authenticate a service by its Authorization header. Raises `UnauthenticatedError` or `NotOfServiceError`."""
        return of_service(await self.holder_of(authorization))

    async def holder_of(self, authorization: str | None) -> Keyholder:
        """Authenticate a key by its Authorization header. Raises `UnauthenticatedError`, the same for every cause."""
        scheme, _, token = (authorization or "").partition(" ")
        match = _KEY.fullmatch(token.strip())
        if scheme.lower() != "bearer" or match is None:
            raise UnauthenticatedError
        # An unknown key is compared with a hash that nothing matches, so that it takes as long.
        secret_hash, key = await self._known.look_up(match[1]) or (_NOBODY, None)
        is_genuine = hmac.compare_digest(secret_hash, _hashed(match[2]))
        if not is_genuine or key is None or (key.expires_at and key.expires_at <= self._clock.now()):
            raise UnauthenticatedError
        if self._usage is not None:
            self._usage.note(key.key_id)
        return key

    async def _find(self, prefixes: Sequence[str]) -> dict[str, _FoundKey]:
        """Load these keys by prefix; revoked ones are left out."""
        statement = (
            select(_key.prefix, _key.id, _key.secret_hash, _key.scopes, _key.expires_at, _key.kind)
            .add_columns(
                _service.name, _service.id.label("service_id"), _service.from_domains, _service.team_recipients
            )
            .add_columns(_key.rate_per_minute.label("key_rate"), _service.rate_per_minute.label("service_rate"))
            .join(Service, _service.id == _key.service_id, isouter=True)
            .where(_key.prefix.in_(prefixes), _key.revoked_at.is_(None))
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.prefix: (row.secret_hash, _holder(row)) for row in rows}


def _holder(row: Row[Any]) -> Keyholder:
    scopes = frozenset(row.scopes)
    if row.service_id is None:
        return Keyholder(key_id=row.id, kind=row.kind, scopes=scopes, expires_at=row.expires_at, key_rate=row.key_rate)
    return Caller(
        key_id=row.id,
        service_id=row.service_id,
        service=row.name,
        kind=row.kind,
        from_domains=tuple(row.from_domains),
        team=frozenset(address.key(recipient) for recipient in row.team_recipients or ()),
        scopes=scopes,
        expires_at=row.expires_at,
        key_rate=row.key_rate,
        service_rate=row.service_rate,
    )


def _hashed(secret: str) -> bytes:
    """Hash a secret. SHA-256 without salt is enough, because the secret has 190 random bits."""
    return hashlib.sha256(secret.encode()).digest()
