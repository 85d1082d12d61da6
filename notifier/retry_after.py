"""Reads the header field `Retry-After`. It is only a hint: whatever it says, the reply itself counts."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_HINT_LENGTH = 64
"""Characters of a Retry-After field; a longer one that is no number is not read."""
_MAX_DIGITS = 9


def parse_retry_after(text: str, now: datetime, *, maximum: float | None = None) -> float | None:
    """The seconds to wait (RFC 9110 §10.2.3), from a number or a date; None if it makes no sense. Never raises.

    `maximum`: a longer wait is cut to it. Without one, a number of more than nine digits is not read.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        if maximum is None and len(text) > _MAX_DIGITS:
            return None
        seconds = float(text[: _MAX_DIGITS + 1])
    elif len(text) > MAX_HINT_LENGTH:
        return None
    else:
        try:
            until = parsedate_to_datetime(text)
            seconds = max(((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds(), 0.0)
        except Exception:  # noqa: BLE001 - a stranger wrote it; email.utils raises ValueError, OverflowError, TypeError
            return None
    return seconds if maximum is None else min(seconds, maximum)
