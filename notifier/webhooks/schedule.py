"""The retry schedule of webhooks: ten attempts in about three days."""

from datetime import timedelta

WAITS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)  # 5 s, 5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours
MOST_TRIES = len(WAITS) + 1
JITTER = 0.2
"""Each wait is spread by this fraction to either side, so that those that failed together retry apart."""
LONGEST_ASKED = timedelta(hours=24)


def wait_after(tries: int, *, spread: float, asked: timedelta | None = None) -> timedelta | None:
    """The wait after this many attempts, or None after the last. `spread` is in [0, 1]; `asked` is from Retry-After."""
    if tries >= MOST_TRIES:
        return None
    own = WAITS[tries - 1] * (1 + JITTER * (2 * spread - 1))
    return max(own, min(asked or own, LONGEST_ASKED))
