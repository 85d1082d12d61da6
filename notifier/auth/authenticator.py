"""Authenticates API keys by their hash, in constant time, and writes when each was last used.

A key is `ntf_live_` (or `ntf_team_`, `ntf_test_`; `ntf_admin_` if it belongs to no service), twelve characters that
identify it, and a 32-character secret of which only the SHA-256 is stored.
"""

import asyncio
import hashlib
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Row, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, UnauthenticatedError, require_service
from notifier.clock import Clock
from notifier.db.database_errors import DATABASE_ERRORS
from notifier.db.engine import Database
from notifier.db.tables import ApiKey, Service, get_columns
from notifier.errors import NotifierError
from notifier.telemetry.logging import get_logger
from notifier.telemetry.request_context import note_key
from notifier.ttl_cache import TtlCache

MAX_UNKNOWN_KEYS = 1_000
"""Unknown keys that a process remembers for a second, so that it does not look them up again."""
MAX_LOOKUPS_IN_A_QUERY = 500
"""Keys that one query looks up; more wait for the next query."""
USE_PRECISION_SECONDS = 60.0
"""By how much the time in a row may be too early."""
MAX_USE_WRITE_SECONDS = 2.5
_KEY_FORM = re.compile(r"(ntf_(?:live|team|test|admin)_[0-9A-Za-z]{12})([0-9A-Za-z]{32})")
_UNMATCHABLE_HASH = hashlib.sha256(b"nobody").digest()
_key, _service = get_columns(ApiKey), get_columns(Service)
_CALLERS = (
    select(_key.prefix, _key.id, _key.secret_hash, _key.scopes, _key.expires_at, _key.kind)
    .add_columns(_service.name, _service.id.label("service_id"), _service.from_domains)
    .add_columns(_service.team_recipients, _service.rate_per_minute.label("service_rate"))
    .add_columns(_key.rate_per_minute.label("key_rate"))
    .join(Service, _service.id == _key.service_id, isouter=True)
)
_FoundKey = tuple[bytes, AuthenticatedKey]
"""The hash of a key's secret, and the key that it proves."""
Value = TypeVar("Value")
Used = TypeVar("Used", bound=tuple[Any, ...] | UUID)


def get_key_prefix(key: str) -> str | None:
    """Get the prefix of a key; `key` may be the prefix alone. None if it is neither."""
    match = _KEY_FORM.fullmatch(key) or _KEY_FORM.fullmatch(key + "0" * 32)
    return match[1] if match else None


def hash_secret(secret: str) -> bytes:
    """Hash a secret. SHA-256 without salt is enough, because the secret has 190 random bits."""
    return hashlib.sha256(secret.encode()).digest()


class Authenticator:
    """Authenticates keys; caches each for a second."""

    def __init__(self, database: Database, clock: Clock, usage: "KeyUsageWriter | None" = None) -> None:
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
        note_key(key.key_id, key.service_id if isinstance(key, Caller) else None)
        return key

    async def _find(self, prefixes: Sequence[str]) -> dict[str, _FoundKey]:
        """Load these keys by prefix; revoked ones are left out."""
        statement = _CALLERS.where(_key.prefix.in_(prefixes), _key.revoked_at.is_(None))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.prefix: (row.secret_hash, _build_authenticated_key(row)) for row in rows}


async def find_caller(connection: AsyncConnection, key_id: UUID) -> Caller | None:
    """Find the caller with this key and the rights that its service has now, also after the key has ended.

    For work that goes on after its request; None if the key belongs to no service.
    """
    row = (await connection.execute(_CALLERS.where(_key.id == key_id))).one_or_none()
    key = _build_authenticated_key(row) if row is not None else None
    return key if isinstance(key, Caller) else None


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


class LookupQueue(Generic[Value]):
    """Combines lookups: one query runs at a time, and the next one has all names that came meanwhile.

    So authentication uses one database connection, however many unknown keys are tried. `read` takes many names and
    returns the values of those that exist.
    """

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, Value]]]) -> None:
        self._read = read
        self._waiting: dict[str, asyncio.Future[Value | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def look_up(self, name: str) -> Value | None:
        """Look up the value of a name; None if there is none. Raises what the query raised."""
        answer = self._waiting.get(name)
        if answer is None:
            answer = self._waiting[name] = asyncio.get_running_loop().create_future()
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._answer_all())
        return await asyncio.shield(answer)

    async def _answer_all(self) -> None:
        while self._waiting:
            batch = dict(islice(self._waiting.items(), MAX_LOOKUPS_IN_A_QUERY))
            for name in batch:
                del self._waiting[name]
            try:
                values = await self._read(list(batch))
            except Exception as error:  # noqa: BLE001 - raised by `look_up`
                for answer in batch.values():
                    answer.set_exception(error)
            else:
                for name, answer in batch.items():
                    answer.set_result(values.get(name))


# -- last use ----------------------------------------------------------------------------------------------------------


class LastUseWriter(ABC, Generic[Used]):
    """Collects uses and writes their time, exact to a minute, in a task beside the requests.

    A process writes at most once a minute for each. A write that fails is not repeated before the next minute.
    """

    failure_event: str  # the event that is logged when it could not be written

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._quiet_until: dict[Used, float] = {}
        self._waiting: set[Used] = set()
        self._writing: asyncio.Task[None] | None = None

    def note_use(self, used: Used) -> None:
        """Note a use at this moment."""
        now = self._clock.monotonic()
        if self._quiet_until.get(used, 0.0) > now:
            return
        self._quiet_until[used] = now + USE_PRECISION_SECONDS
        self._waiting.add(used)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Wait until the current write has ended."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    @abstractmethod
    async def write_uses(self, connection: AsyncConnection, used: Sequence[Used], at: datetime) -> None:
        """Write the time of these uses."""

    async def _write(self) -> None:
        while self._waiting:
            used, self._waiting = sorted(self._waiting), set()  # sorted: two processes never wait for each other
            try:
                async with asyncio.timeout(MAX_USE_WRITE_SECONDS), self._database.write() as connection:
                    await self.write_uses(connection, used, self._clock.now())
            except (NotifierError, *DATABASE_ERRORS) as error:
                get_logger().warning(self.failure_event, error=type(error).__name__)


class KeyUsageWriter(LastUseWriter[UUID]):
    """Writes when keys were last used."""

    failure_event = "key_usage_not_written"

    async def write_uses(self, connection: AsyncConnection, used: Sequence[UUID], at: datetime) -> None:
        """Write the time at which these keys were used."""
        is_later = or_(_key.last_used_at.is_(None), _key.last_used_at < bindparam("at"))
        statement = update(ApiKey).where(_key.id == bindparam("key"), is_later).values(last_used_at=bindparam("at"))
        await connection.execute(statement, [{"key": key, "at": at} for key in used])
