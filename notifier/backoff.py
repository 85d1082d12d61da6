"""How long to wait before the next attempt of a mail, and what a `Retry-After` says.

The due time is stored in the outbox entry, so a restart loses nothing.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAIL_WAITS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240))
JITTER = 0.2
"""Each wait is spread by this fraction to either side, so that what failed together is not retried together."""
RESEND_SHARE = 4
"""An uncertain mail is resent after at most a quarter of the time to its expiry."""
MAX_RETRY_AFTER = timedelta(hours=24)
MAX_HINT_LENGTH = 64
"""Characters of a Retry-After field; a longer one that is no number is not read."""
_MAX_DIGITS = 9


def get_retry_delay(attempts: int, *, spread: float) -> timedelta:
    """Return the wait of a mail after this many attempts (from 1); `spread` in [0, 1] places it within ±20 %.

    1 m, 5 m, 15 m, 30 m, 1 h, 2 h, then always 4 h; the caller stops at the notification's expiry.
    """
    return add_jitter(MAIL_WAITS[min(attempts, len(MAIL_WAITS)) - 1], spread)


def get_resend_delay(lifetime: timedelta, *, max_delay: timedelta) -> timedelta:
    """Return the wait before an uncertain mail is sent again; `lifetime` is the time to its expiry."""
    return max(timedelta(0), min(max_delay, lifetime / RESEND_SHARE))


def add_jitter(wait: timedelta, spread: float) -> timedelta:
    """Spread a wait by up to 20 % to either side; `spread` in [0, 1]."""
    return wait * (1 + JITTER * (2 * spread - 1))


def parse_retry_after(text: str, now: datetime, *, maximum: float | None = None) -> float | None:
    """Read `Retry-After` (RFC 9110 §10.2.3), a number or a date, as seconds; None if it makes no sense. Never raises.

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
