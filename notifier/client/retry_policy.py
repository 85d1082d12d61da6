"""Whether a call is tried again, and when: decided from values, without a clock, a socket or a sleep of its own.

A request whose answer was lost is sent again only if doing it twice is doing it once.
"""

import logging
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from notifier.client.api_call import Call, HttpResponse, NoResponse, build_error, get_retry_after
from notifier.client.errors import ConnectionFailedError, NotifierClientError

T = TypeVar("T")
_log = logging.getLogger("notifier.client")
_SUCCESS = range(200, 300)
_IN_PROGRESS = "idempotency_in_progress"
_ASKED_TO_REPEAT = frozenset({429, 503})
_GATEWAY_LOST_IT = frozenset({502, 504})


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How patient the client is."""

    tries: int = 5  # requests at most; 1 never repeats
    seconds: float = 60.0  # all of it: tries and waits
    first_wait: float = 0.5  # seconds; doubled after each try, and jittered
    max_wait: float = 8.0  # seconds, unless the server asks for more

    def compute_wait(self, made: int, asked: float | None, luck: float) -> float:
        """Seconds before the next try: what the server asked for and a little more, or half to all of the back-off."""
        if asked is not None:
            return asked + luck * min(asked, 1.0) / 4
        backoff = min(self.first_wait * 2.0 ** (made - 1), self.max_wait)
        return backoff * (0.5 + luck / 2)


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[T]):
    """The call is over."""

    value: T


@dataclass(frozen=True, kw_only=True)
class RetryLater:
    """The same request is to be sent again."""

    seconds: float  # from now


@dataclass(kw_only=True)
class RetryState(Generic[T]):
    """The tries of one call."""

    call: Call[T]
    policy: RetryPolicy
    started: float  # monotonic, as every `now` below
    made: int = field(default=0, init=False)
    _maybe_done: bool = field(default=False, init=False)

    def seconds_left(self, now: float, most: float) -> float:
        """How long the next try may take."""
        return max(min(most, self.started + self.policy.seconds - now), 0.001)

    def decide(self, outcome: HttpResponse | NoResponse, *, now: float, luck: float) -> Finished[T] | RetryLater:
        """What follows from the outcome of a try. Raises the error with which the call ends."""
        self.made += 1
        if isinstance(outcome, HttpResponse) and outcome.status in _SUCCESS:
            value = self.call.read(outcome)
            wait = self._wait(None, now, luck) if self.call.is_unfinished(value) else None
            return Finished(value=value) if wait is None else self._again(wait, "not all of it is finished")
        if isinstance(outcome, NoResponse):
            self._maybe_done = self._maybe_done or outcome.may_have_arrived
            error: NotifierClientError = ConnectionFailedError(
                f"no answer: {_told(outcome.error)}", self.made, maybe_done=self._maybe_done
            )
            repeated, asked = (
                not outcome.is_permanent and (self.call.is_repeatable or not outcome.may_have_arrived),
                None,
            )
        else:
            error, asked = build_error(outcome), get_retry_after(outcome)
            repeated = _is_repeated(self.call, outcome.status, error.code)
        wait = self._wait(asked, now, luck) if repeated else None
        if wait is None:
            raise error from (outcome.error if isinstance(outcome, NoResponse) else None)
        return self._again(wait, str(error))

    def _wait(self, asked: float | None, now: float, luck: float) -> float | None:
        """Seconds before the next try; None if there is none."""
        wait = self.policy.compute_wait(self.made, asked, luck)
        late = now + wait - self.started >= self.policy.seconds
        return None if late or self.made >= self.policy.tries else wait

    def _again(self, wait: float, why: str) -> RetryLater:
        _log.info("%s %s: %s; again in %.2f s", self.call.method, self.call.path, why, wait)
        return RetryLater(seconds=wait)


def _is_repeated(call: Call[T], status: int, code: str) -> bool:
    """True for an answer that says "later". A gateway that lost its server cannot say whether anything was done."""
    asked = status in _ASKED_TO_REPEAT or code == _IN_PROGRESS
    return asked or (status in _GATEWAY_LOST_IT and call.is_repeatable)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
