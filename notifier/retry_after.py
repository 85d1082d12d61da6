"""What a reply's Retry-After asks for. It is a hint: whatever stands in it, the reply itself counts."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_HINT_LENGTH = 64
"""Characters of a Retry-After field; a longer one is not read."""
_SECONDS = re.compile(r"[0-9]{1,9}")


def parse_retry_after(text: str, now: datetime) -> float | None:
    """Seconds to wait (RFC 9110 §10.2.3), from a number or a date; None if it makes no sense. Never raises."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if len(text) > MAX_HINT_LENGTH:
        return None
    try:
        until = parsedate_to_datetime(text)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max((until - now).total_seconds(), 0.0)
    except Exception:  # noqa: BLE001 - a stranger wrote it; email.utils raises much: ValueError, OverflowError, TypeError
        return None
