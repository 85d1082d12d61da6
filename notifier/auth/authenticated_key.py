"""API keys: made, stored as a hash, and recognised in constant time.

A key is `ntf_live_` (or `ntf_team_`, `ntf_test_`; `ntf_admin_` if it belongs to no service), twelve characters that
name it, and a 32-character secret of which only the SHA-256 is kept.
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

from notifier import email_address
from notifier.auth.key_scope import DEFAULT_SCOPES, SERVICE_SCOPES, KeyScope
from notifier.auth.key_usage import KeyUsageWriter
from notifier.auth.lookup_queue import LookupQueue
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import NameTakenError, NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.states import KeyKind
from notifier.ttl_cache import TtlCache

_key_columns, _service_columns = get_columns(ApiKey), get_columns(Service)
_ALPHABET = string.ascii_letters + string.digits
_KEY_FORM = re.compile(r"(ntf_(?:live|team|test|admin)_[0-9A-Za-z]{12})([0-9A-Za-z]{32})")
MAX_UNKNOWN_KEYS = 1_000
"""Keys of which a process remembers for a second that there is no such key."""
_UNMATCHABLE_HASH = hashlib.sha256(b"nobody").digest()


KINDS_BY_REACH = (KeyKind.TEST, KeyKind.TEAM, KeyKind.LIVE)
"""How far the mail of a kind of key goes, from the least: nowhere, to the team, to anybody."""


class UnauthenticatedError(NotifierError):
    """The request carries no valid API key."""


class InsufficientScopeError(NotifierError):
    """The API key lacks a scope."""

    def __init__(self, scope: KeyScope) -> None:
        self.scope = scope
        super().__init__(f"this key lacks the scope {scope.value}")


class StrongerKindError(NotifierError):
    """Only a key whose mail goes further may do this."""


class NotOfServiceError(NotifierError):
    """This key belongs to no service, and this is a service's."""


@dataclass(frozen=True, kw_only=True)
class AuthenticatedKey:
    """Whose request this is, whether of a service or not."""

    key_id: UUID
    kind: KeyKind
    scopes: frozenset[str]
    expires_at: datetime | None
    key_rate: int | None  # notifications a minute; None: as the settings say

    @property
    def actor_name(self) -> str:
        """The holder as written into records."""
        return f"key:{self.key_id}"

    def require_scope(self, scope: KeyScope) -> None:
        """Raise `InsufficientScopeError` unless the key has the scope."""
        if scope.value not in self.scopes:
            raise InsufficientScopeError(scope)

    @property
    def kinds_in_reach(self) -> tuple[KeyKind, ...]:
        """The kinds whose mail goes no further than this key's: it may change what keys of these kinds made."""
        return KINDS_BY_REACH[: KINDS_BY_REACH.index(self.kind) + 1]

    def require_live(self, deed: str) -> None:
        """Raise `StrongerKindError` unless the key is a live or an admin key; `deed` completes "only a live key"."""
        if self.kind is not KeyKind.LIVE:
            raise StrongerKindError(f"only a live key {deed}; this is a {self.kind.value} key")


@dataclass(frozen=True, kw_only=True)
class Caller(AuthenticatedKey):
    """A service that asks for something."""

    service_id: UUID
    service_name: str
    from_domains: tuple[str, ...]  # empty: only the instance's own From address
    team_recipients: frozenset[
        str
    ]  # whom a team key may mail: addresses, and domains as "@example.org", as `address.key` does
    service_rate: int | None  # notifications a minute; None: as the settings say

    def may_mail(self, recipient: str) -> bool:
        """True unless this is a team key and the recipient is neither of the team nor simulated."""
        key = email_address.get_address_key(recipient)
        if self.kind is not KeyKind.TEAM or email_address.is_simulated_address(key):
            return True
        return key in self.team_recipients or f"@{email_address.get_address_domain(key)}" in self.team_recipients


def require_service(holder: AuthenticatedKey) -> Caller:
    """The same as a service. Raises `NotOfServiceError`."""
    if not isinstance(holder, Caller):
        raise NotOfServiceError
    return holder


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """What a new key shall be."""

    name: str = ""
    kind: KeyKind = KeyKind.LIVE
    scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES
    expires_at: datetime | None = None  # None: never
    rate_per_minute: int | None = None  # notifications; None: as the settings say


_FoundKey = tuple[bytes, AuthenticatedKey]
"""The hash of a key's secret, and whose it is."""


def may_send_from(sender: str, default: str, domains: Collection[str]) -> bool:
    """True if a service with these domains may have the address in From; `default` is the instance's own."""
    return sender == default or email_address.get_address_domain(sender) in domains


async def create_service(
    connection: AsyncConnection,
    name: str,
    *,
    from_domains: Sequence[str],
    team: Sequence[str] = (),
    rate_per_minute: int | None = None,
    now: datetime,
) -> UUID:
    """A new calling application; `team`: addresses, and domains as "@example.org". Raises `NameTakenError`."""
    values = {
        "id": generate_id(),
        "name": name,
        "from_domains": [d.lower() for d in from_domains],
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
    """The id of the service with that name. Raises `NotFoundError`."""
    found = (
        await connection.execute(select(_service_columns.id).where(_service_columns.name == name))
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError(f"there is no service named {name!r}")
    return UUID(str(found))


async def create_live_key(
    connection: AsyncConnection, service_id: UUID, *, scopes: Sequence[KeyScope] = DEFAULT_SCOPES, now: datetime
) -> str:
    """A new live key for the service; this is the only time that it can be read."""
    _, key = await insert_key(connection, service_id, NewKey(scopes=tuple(scopes)), now=now)
    return key


async def insert_key(
    connection: AsyncConnection, service_id: UUID | None, wish: NewKey, *, now: datetime
) -> tuple[UUID, str]:
    """A new key for the service, or an admin key: its id, and the key itself, of which only the hash is kept.

    What only an admin key can have is left out of a service's.
    """
    can = tuple(KeyScope) if service_id is None else SERVICE_SCOPES
    kind = wish.kind.value if service_id else "admin"
    prefix = f"ntf_{kind}_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(32))
    id_ = generate_id()
    values = {
        "id": id_,
        "service_id": service_id,
        "name": wish.name,
        "prefix": prefix,
        "secret_hash": _hash_secret(secret),
        "kind": wish.kind,
        "scopes": [scope.value for scope in can if scope in wish.scopes],
        "expires_at": wish.expires_at,
        "rate_per_minute": wish.rate_per_minute,
        "created_at": now,
    }
    await connection.execute(insert(ApiKey).values(values))
    return id_, prefix + secret


def get_key_prefix(key: str) -> str | None:
    """The part that names a key, of the key or of that part alone; None: it is neither."""
    found = _KEY_FORM.fullmatch(key) or _KEY_FORM.fullmatch(key + "0" * 32)
    return found[1] if found else None


class Authenticator:
    """Recognises keys; keeps what it recognised for a second."""

    def __init__(self, database: Database, clock: Clock, usage: KeyUsageWriter | None = None) -> None:
        self._database = database
        self._clock = clock
        self._usage = usage  # None: nobody is told
        lookups = LookupQueue(self._find)
        self._known: TtlCache[str, _FoundKey] = TtlCache(lookups.look_up, clock, max_misses=MAX_UNKNOWN_KEYS)

    async def authenticate_service(self, authorization: str | None) -> Caller:
        """The service that sent this Authorization header. Raises as `holder_of`, and `NotOfServiceError`."""
        return require_service(await self.authenticate_key(authorization))

    async def authenticate_key(self, authorization: str | None) -> AuthenticatedKey:
        """Who sent this Authorization header. Raises `UnauthenticatedError`, the same for every cause."""
        scheme, _, token = (authorization or "").partition(" ")
        key = _KEY_FORM.fullmatch(token.strip())
        if scheme.lower() != "bearer" or key is None:
            raise UnauthenticatedError
        # For an unknown key a hash that nothing matches, so that it takes as long.
        stored, holder = await self._known.get(key[1]) or (_UNMATCHABLE_HASH, None)
        genuine = hmac.compare_digest(stored, _hash_secret(key[2]))
        if not genuine or holder is None or (holder.expires_at and holder.expires_at <= self._clock.now()):
            raise UnauthenticatedError
        if self._usage is not None:
            self._usage.note_use(holder.key_id)
        return holder

    async def _find(self, prefixes: Sequence[str]) -> dict[str, _FoundKey]:
        """What the database knows of these keys, by prefix; one that is revoked is left out."""
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
        team_recipients=frozenset(email_address.get_address_key(one) for one in row.team_recipients or ()),
        scopes=scopes,
        expires_at=row.expires_at,
        key_rate=row.key_rate,
        service_rate=row.service_rate,
    )


def _hash_secret(secret: str) -> bytes:
    """SHA-256 without salt is enough: the secret has 190 bits of its own."""
    return hashlib.sha256(secret.encode()).digest()
