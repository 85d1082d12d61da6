"""Idempotency keys: what a repeated request is compared with, and what it is answered from.

The keys of test and team keys are their own, so that a test mail never stands for a live one.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from notifier.auth.authenticated_key import Caller
from notifier.db.direct_connections import StatementConnection
from notifier.errors import IdempotencyInProgressError, IdempotencyKeyReusedError
from notifier.states import KeyKind, Status
from notifier.submission import notification_writer_sql as sql

ServiceKey = tuple[UUID, str]
"""Service and idempotency key."""
IdempotencyError = IdempotencyKeyReusedError | IdempotencyInProgressError
"""Why one notification of a batch was not written; a value, so that its neighbours are."""


@dataclass(frozen=True, kw_only=True)
class Idempotency:
    """The caller's key and what the request looked like."""

    key: str
    request_hash: bytes  # SHA-256 of the canonical JSON, without what counts as not set


@dataclass(frozen=True, kw_only=True)
class SubmissionResult:
    """The answer about an accepted notification."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    batch_id: UUID | None = None
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class EarlierNotification:
    """The notification that already has an idempotency key."""

    id: UUID
    status: Status
    created_at: datetime
    send_at: datetime
    request_hash: bytes
    batch_id: UUID | None

    def is_outdated(self, now: datetime, lasts: timedelta) -> bool:
        """True if its key does not count any more."""
        return self.created_at <= now - lasts

    def replayed(self, request_hash: bytes, *, is_own: bool = False) -> SubmissionResult | IdempotencyKeyReusedError:
        """The answer to a request with the same key: this notification if it is the same request, else an error.

        `is_own`: this very request has written it, in a commit whose reply was lost.
        """
        if self.request_hash != request_hash:
            return IdempotencyKeyReusedError()
        fields = {name: getattr(self, name) for name in ("id", "status", "created_at", "send_at", "batch_id")}
        return SubmissionResult(**fields, replayed=not is_own)


def scope_key(caller: Caller, key: str) -> str:
    """The idempotency key as it is stored for the caller's kind of key.

    A live key's is stored as it is. The others become texts that no caller can send: they begin with a space.
    """
    if caller.kind is KeyKind.LIVE:
        return key
    return f" {caller.kind.value} {hashlib.sha256(key.encode()).hexdigest()}"


def scope_idempotency(caller: Caller, idempotency: Idempotency | None) -> Idempotency | None:
    """The same with its request."""
    return replace(idempotency, key=scope_key(caller, idempotency.key)) if idempotency else None


async def find_earlier_notifications(
    connection: StatementConnection, service_id: UUID, keys: Collection[str]
) -> dict[ServiceKey, EarlierNotification]:
    """The service's notifications that have these keys."""
    if connection.dialect.name == "sqlite":
        values = {"service": service_id.hex, "keys": json.dumps(list(keys))}
        rows = await connection.execute(text(sql.EARLIER_SQLITE), values)
    else:
        rows = await connection.execute(sql.EARLIER_POSTGRES, {"service": service_id, "keys": list(keys)})
    return dict(parse_earlier(service_id, row) for row in rows)


def parse_earlier(service_id: UUID, row: Sequence[Any]) -> tuple[ServiceKey, EarlierNotification]:
    """Read a row of the statements named `EARLIER`."""
    key, id_, status, created_at, send_at, request_hash, batch_id = row
    if isinstance(id_, str):  # SQLite knows only texts and numbers
        id_, batch_id = UUID(id_), UUID(batch_id) if batch_id else None
        created_at, send_at = (datetime.fromisoformat(time).replace(tzinfo=UTC) for time in (created_at, send_at))
    return (service_id, key), EarlierNotification(
        id=id_,
        status=Status(status),
        created_at=created_at,
        send_at=send_at,
        request_hash=request_hash,
        batch_id=batch_id,
    )
