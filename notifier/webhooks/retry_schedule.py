"""When a webhook is tried again: ten tries in about three days, and what a receiver may ask for."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

RETRY_WAITS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)  # 5 s, 5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours
MAX_TRIES = len(RETRY_WAITS) + 1
JITTER = 0.2
"""Each wait is spread by this fraction to either side, so that a crowd that failed together is spread."""
MAX_RETRY_AFTER = timedelta(hours=24)
MAX_HINT_LENGTH = 64
"""Characters of a Retry-After field; a longer one that is no number is not read."""


def compute_retry_wait(tries: int, *, spread: float, asked: timedelta | None = None) -> timedelta | None:
    """The wait after so many tries, or None: it is over. `spread` is in [0, 1]; `asked` is the receiver's wish."""
    if tries >= MAX_TRIES:
        return None
    own = RETRY_WAITS[tries - 1] * (1 + JITTER * (2 * spread - 1))
    return max(own, min(asked or own, MAX_RETRY_AFTER))


def retry_after(value: str, now: datetime) -> timedelta | None:
    """What a Retry-After field asks for (RFC 9110 §10.2.3), in seconds or as a date; None if it makes no sense.

    It never raises: a stranger's hint does not change what became of a delivery.
    """
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), MAX_RETRY_AFTER.total_seconds()))
    if len(value) > MAX_HINT_LENGTH:
        return None
    try:
        at = parsedate_to_datetime(value)
        return min(max((at if at.tzinfo else at.replace(tzinfo=UTC)) - now, timedelta(0)), MAX_RETRY_AFTER)
    except Exception:  # noqa: BLE001 - email.utils raises much: ValueError, OverflowError, TypeError
        return None
