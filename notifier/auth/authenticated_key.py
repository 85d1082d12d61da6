"""Authenticates API keys by their hash, in constant time, and says what a key may do.

A key is `ntf_live_` (or `ntf_team_`, `ntf_test_`; `ntf_admin_` if it belongs to no service), twelve characters that
identify it, and a 32-character secret of which only the SHA-256 is stored.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from notifier import email_address
from notifier.auth.key_lookup_queue import LookupQueue
from notifier.auth.key_scope import KeyScope
from notifier.auth.key_usage import KeyUsageWriter
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import NotifierError
from notifier.states import KeyKind
from notifier.ttl_cache import TtlCache

_key_columns, _service_columns = get_columns(ApiKey), get_columns(Service)
_KEY_FORM = re.compile(r"(ntf_(?:live|team|test|admin)_[0-9A-Za-z]{12})([0-9A-Za-z]{32})")
MAX_UNKNOWN_KEYS = 1_000
"""Unknown keys that a process remembers for a second, so that it does not look them up again."""
_UNMATCHABLE_HASH = hashlib.sha256(b"nobody").digest()
KINDS_BY_REACH = (KeyKind.TEST, KeyKind.TEAM, KeyKind.LIVE)
"""The kinds of keys by whom their mail reaches: nobody, the team, anybody."""


class UnauthenticatedError(NotifierError):
    """The request carries no valid API key."""


class InsufficientScopeError(NotifierError):
    """The API key lacks a scope."""

    def __init__(self, scope: KeyScope) -> None:
        self.scope = scope
        super().__init__(f"this key lacks the scope {scope.value}")


class StrongerKindError(NotifierError):
    """Only a key of a stronger kind may do this."""


class NotOfServiceError(NotifierError):
    """An admin key belongs to no service and cannot use a service's routes."""


@dataclass(frozen=True, kw_only=True)
class AuthenticatedKey:
    """The key of a request: a service's or an admin key."""

    key_id: UUID
    kind: KeyKind
    scopes: frozenset[str]
    expires_at: datetime | None
    key_rate: int | None  # notifications a minute; None: as the settings say

    @property
    def actor_name(self) -> str:
        """The name under which records are written."""
        return f"key:{self.key_id}"

    def require_scope(self, scope: KeyScope) -> None:
        """Raise `InsufficientScopeError` unless the key has the scope."""
        if scope.value not in self.scopes:
            raise InsufficientScopeError(scope)

    @property
    def kinds_in_reach(self) -> tuple[KeyKind, ...]:
        """Its own kind and all weaker kinds: the key may change what keys of these kinds submitted."""
        return KINDS_BY_REACH[: KINDS_BY_REACH.index(self.kind) + 1]

    def require_live(self, action: str) -> None:
        """Raise `StrongerKindError` unless the key is live or an admin key; `action` completes "only a live key"."""
        if self.kind is not KeyKind.LIVE:
            raise StrongerKindError(f"only a live key {action}; this is a {self.kind.value} key")


@dataclass(frozen=True, kw_only=True)
class Caller(AuthenticatedKey):
    """The key of a service, and what the service may do."""

    service_id: UUID
    service_name: str
    from_domains: tuple[str, ...]  # empty: only the instance's own From address
    team_recipients: frozenset[
        str
    ]  # whom a team key may mail: addresses, and domains as "@example.org", as `address.key` does
    service_rate: int | None  # notifications a minute; None: as the settings say

    def may_mail(self, recipient: str) -> bool:
        """Whether the key may mail the recipient: a team key mails the team and simulated recipients only."""
        key = email_address.get_address_key(recipient)
        if self.kind is not KeyKind.TEAM or email_address.is_simulated_address(key):
            return True
        return key in self.team_recipients or f"@{email_address.get_address_domain(key)}" in self.team_recipients


def require_service(key: AuthenticatedKey) -> Caller:
    """Return the key as a service's. Raises `NotOfServiceError` for an admin key."""
    if not isinstance(key, Caller):
        raise NotOfServiceError
    return key


_FoundKey = tuple[bytes, AuthenticatedKey]
"""The hash of a key's secret, and the key that it proves."""


def get_key_prefix(key: str) -> str | None:
    """Get the prefix of a key; `key` may be the prefix alone. None if it is neither."""
    match = _KEY_FORM.fullmatch(key) or _KEY_FORM.fullmatch(key + "0" * 32)
    return match[1] if match else None


class Authenticator:
    """Authenticates keys; caches each for a second."""

    def __init__(self, database: Database, clock: Clock, usage: KeyUsageWriter | None = None) -> None:
        self._database = database
        self._clock = clock
        self._usage = usage  # None: the time of the last use is not written
        lookups = LookupQueue(self._find)
        self._known: TtlCache[str, _FoundKey] = TtlCache(lookups.look_up, clock, max_misses=MAX_UNKNOWN_KEYS)

    async def authenticate_service(self, authorization: str | None) -> Caller:
        """Authenticate a service by its Authorization header. Raises `UnauthenticatedError` or `NotOfServiceError`."""
        return require_service(await self.authenticate_key(authorization))

    async def authenticate_key(self, authorization: str | None) -> AuthenticatedKey:
        """Authenticate a key by its Authorization header. Raises `UnauthenticatedError`, the same for every cause."""
        scheme, _, token = (authorization or "").partition(" ")
        match = _KEY_FORM.fullmatch(token.strip())
        if scheme.lower() != "bearer" or match is None:
            raise UnauthenticatedError
        # An unknown key is compared with a hash that nothing matches, so that it takes as long.
        secret_hash, key = await self._known.get(match[1]) or (_UNMATCHABLE_HASH, None)
        is_genuine = hmac.compare_digest(secret_hash, hash_secret(match[2]))
        if not is_genuine or key is None or (key.expires_at and key.expires_at <= self._clock.now()):
            raise UnauthenticatedError
        if self._usage is not None:
            self._usage.note_use(key.key_id)
        return key

    async def _find(self, prefixes: Sequence[str]) -> dict[str, _FoundKey]:
        """Load these keys by prefix; revoked ones are left out."""
        statement = (
            select(
                _key_columns.prefix,
                _key_columns.id,
                _key_columns.secret_hash,
                _key_columns.scopes,
                _key_columns.expires_at,
                _key_columns.kind,
            )
            .add_columns(
                _service_columns.name,
                _service_columns.id.label("service_id"),
                _service_columns.from_domains,
                _service_columns.team_recipients,
            )
            .add_columns(
                _key_columns.rate_per_minute.label("key_rate"), _service_columns.rate_per_minute.label("service_rate")
            )
            .join(Service, _service_columns.id == _key_columns.service_id, isouter=True)
            .where(_key_columns.prefix.in_(prefixes), _key_columns.revoked_at.is_(None))
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.prefix: (row.secret_hash, _build_authenticated_key(row)) for row in rows}


def _build_authenticated_key(row: Row[Any]) -> AuthenticatedKey:
    scopes = frozenset(row.scopes)
    if row.service_id is None:
        return AuthenticatedKey(
            key_id=row.id, kind=row.kind, scopes=scopes, expires_at=row.expires_at, key_rate=row.key_rate
        )
    return Caller(
        key_id=row.id,
        service_id=row.service_id,
        service_name=row.name,
        kind=row.kind,
        from_domains=tuple(row.from_domains),
        team_recipients=frozenset(email_address.get_address_key(recipient) for recipient in row.team_recipients or ()),
        scopes=scopes,
        expires_at=row.expires_at,
        key_rate=row.key_rate,
        service_rate=row.service_rate,
    )


def hash_secret(secret: str) -> bytes:
    """Hash a secret. SHA-256 without salt is enough, because the secret has 190 random bits."""
    return hashlib.sha256(secret.encode()).digest()
