"""The retry schedule of webhooks: ten attempts in about three days."""

from datetime import timedelta

RETRY_WAITS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)  # 5 s, 5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours
MAX_TRIES = len(RETRY_WAITS) + 1
JITTER = 0.2
"""Each wait is spread by this fraction to either side, so that those that failed together retry apart."""
MAX_RETRY_AFTER = timedelta(hours=24)


def compute_retry_wait(tries: int, *, spread: float, retry_after: timedelta | None = None) -> timedelta | None:
    """The wait after this many attempts; None after the last. `spread`: 0 to 1; `retry_after`: from the reply."""
    if tries >= MAX_TRIES:
        return None
    own = RETRY_WAITS[tries - 1] * (1 + JITTER * (2 * spread - 1))
    return max(own, min(retry_after or own, MAX_RETRY_AFTER))
