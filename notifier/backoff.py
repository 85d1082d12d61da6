"""The back-off: how long a deferred notification waits, computed with tenacity's wait strategies.

The due time is stored in the outbox entry, so a restart loses nothing.
"""

from datetime import timedelta

from tenacity import RetryCallState, Retrying, wait_chain, wait_fixed

SCHEDULE = wait_chain(*(wait_fixed(timedelta(minutes=m)) for m in (1, 5, 15, 30, 60, 120, 240)))
JITTER = 0.2
"""Each delay varies by this part, so that mails deferred together do not return together."""

RESEND_SHARE = 4
"""An uncertain mail is resent after at most a quarter of the time to its expiry."""


def get_retry_delay(attempts: int, *, spread: float) -> timedelta:
    """Return the wait after the given number of attempts (from 1); `spread` in [0, 1] places it within ±20 %.

    1 m, 5 m, 15 m, 30 m, 1 h, 2 h, then always 4 h; the caller stops at the notification's expiry.
    """
    state = RetryCallState(retry_object=Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = attempts
    return timedelta(seconds=SCHEDULE(state) * (1 + JITTER * (2 * spread - 1)))


def get_resend_delay(lifetime: timedelta, *, max_delay: timedelta) -> timedelta:
    """Return the wait before an uncertain mail is sent again; `lifetime` is the time to its expiry."""
    return max(timedelta(0), min(max_delay, lifetime / RESEND_SHARE))
