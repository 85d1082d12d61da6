"""Decides whether and when a call is retried; it uses no clock and no network itself.

A request whose reply was lost is sent again only if a repetition changes nothing more.
"""

import logging
from dataclasses import dataclass, field
from typing import Generic

from notifier.client.api_call import Call, HttpResponse, NoResponse, T, build_error, get_retry_after
from notifier.client.errors import ConnectionFailedError, NotifierClientError

_log = logging.getLogger("notifier.client")
_SUCCESS = range(200, 300)
_IN_PROGRESS = "idempotency_in_progress"
_RETRY_STATUSES = frozenset({429, 503})
_GATEWAY_STATUSES = frozenset({502, 504})


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how long the client retries."""

    tries: int = 5  # the most requests; 1 never retries
    seconds: float = 60.0  # for all attempts and waits
    first_wait: float = 0.5  # seconds; doubled after each attempt, with jitter
    max_wait: float = 8.0  # seconds; the server may ask for more

    def compute_wait(self, made: int, retry_after: float | None, luck: float) -> float:
        """Compute the seconds before the next attempt: what the server asks for and a little more, or the back-off."""
        if retry_after is not None:
            return retry_after + luck * min(retry_after, 1.0) / 4
        backoff = min(self.first_wait * 2.0 ** (made - 1), self.max_wait)
        return backoff * (0.5 + luck / 2)


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[T]):
    """The call has ended."""

    value: T


@dataclass(frozen=True, kw_only=True)
class RetryLater:
    """Send the same request again."""

    seconds: float  # from now


@dataclass(kw_only=True)
class RetryState(Generic[T]):
    """The attempts of one call."""

    call: Call[T]
    policy: RetryPolicy
    started: float  # monotonic, as every `now` below
    made: int = field(default=0, init=False)
    _maybe_done: bool = field(default=False, init=False)

    def seconds_left(self, now: float, maximum: float) -> float:
        """Compute how many seconds the next attempt may take."""
        return max(min(maximum, self.started + self.policy.seconds - now), 0.001)

    def decide(self, outcome: HttpResponse | NoResponse, *, now: float, luck: float) -> Finished[T] | RetryLater:
        """Decide whether the call has ended or is retried. Raises the error with which it ends."""
        self.made += 1
        if isinstance(outcome, HttpResponse) and outcome.status in _SUCCESS:
            value = self.call.read(outcome)
            is_unfinished = self.call.is_unfinished is not None and self.call.is_unfinished(value)
            wait = self._compute_wait(None, now, luck) if is_unfinished else None
            return Finished(value=value) if wait is None else self._log_retry(wait, "a part of it is still in progress")
        if isinstance(outcome, NoResponse):
            self._maybe_done = self._maybe_done or outcome.may_have_arrived
            error: NotifierClientError = ConnectionFailedError(
                f"no reply: {_describe_error(outcome.error)}", self.made, maybe_done=self._maybe_done
            )
            is_harmless = self.call.is_repeatable or not outcome.may_have_arrived
            is_retried, hint = is_harmless and not outcome.is_permanent, None
        else:
            error, hint = build_error(outcome), get_retry_after(outcome)
            is_retried = _is_retried(self.call, outcome.status, error.code)
        wait = self._compute_wait(hint, now, luck) if is_retried else None
        if wait is None:
            raise error from (outcome.error if isinstance(outcome, NoResponse) else None)
        return self._log_retry(wait, str(error))

    def _compute_wait(self, retry_after: float | None, now: float, luck: float) -> float | None:
        """The seconds before the next attempt; None if there is none."""
        wait = self.policy.compute_wait(self.made, retry_after, luck)
        is_late = now + wait - self.started >= self.policy.seconds
        return None if is_late or self.made >= self.policy.tries else wait

    def _log_retry(self, wait: float, reason: str) -> RetryLater:
        _log.info("%s %s: %s; retry in %.2f s", self.call.method, self.call.path, reason, wait)
        return RetryLater(seconds=wait)


def _is_retried(call: Call[T], status: int, code: str) -> bool:
    """True if the reply allows a retry. After an error of a gateway, only repeatable calls are retried."""
    return status in _RETRY_STATUSES or code == _IN_PROGRESS or (status in _GATEWAY_STATUSES and call.is_repeatable)


def _describe_error(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
