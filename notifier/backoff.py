"""When a deferred notification is tried again: a persisted schedule, built from tenacity's wait strategies.

It only computes; the due time itself stands in the outbox entry, so a restart forgets nothing.
"""

from datetime import timedelta

from tenacity import RetryCallState, Retrying, wait_chain, wait_fixed

SCHEDULE = wait_chain(*(wait_fixed(timedelta(minutes=m)) for m in (1, 5, 15, 30, 60, 120, 240)))
JITTER = 0.2
"""Each delay is spread by this fraction to either side, so that a crowd deferred together does not return together."""

RESEND_SHARE = 4
"""An uncertain mail is resent after at most this part (a quarter) of the time left to its expiry."""


def get_retry_delay(attempts: int, *, spread: float) -> timedelta:
    """The wait after the `attempts`-th attempt (from 1); `spread` in [0, 1] places it within ±20 %.

    1 m, 5 m, 15 m, 30 m, 1 h, 2 h, then 4 h for ever; whoever asks stops at the notification's expiry.
    """
    state = RetryCallState(retry_object=Retrying(), fn=None, args=(), kwargs={})
    state.attempt_number = attempts
    return timedelta(seconds=SCHEDULE(state) * (1 + JITTER * (2 * spread - 1)))


def get_resend_delay(left: timedelta, *, longest: timedelta) -> timedelta:
    """The wait before an uncertain mail is sent again, with `left` until it expires: never more than `longest`."""
    return max(timedelta(0), min(longest, left / RESEND_SHARE))
