"""Identifiers: UUIDv7 (RFC 9562 §5.7), which sort by creation time and so serve as page cursors; ids of requests."""

import secrets
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

_LATEST_MS = 2**48 - 1


def generate_id() -> UUID:
    """Generate a new UUIDv7."""
    return uuid7()


def generate_request_id() -> str:
    """Generate the id of an HTTP request whose caller gave none."""
    return secrets.token_hex(8)


def get_first_id(time: datetime) -> UUID:
    """Return the smallest UUIDv7 of an aware time, to the millisecond."""
    milliseconds = min(max(int(time.timestamp() * 1000), 0), _LATEST_MS)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62)


def get_id_time(id_: UUID) -> datetime:
    """Return the time at which a UUIDv7 was made: by the clock of its host, to the millisecond."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)
