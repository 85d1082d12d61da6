"""Whether a call is tried again, and when: decided from values, without a clock, a socket or a sleep of its own.

A request whose answer was lost is sent again only if doing it twice is doing it once.
"""

import logging
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from notifier.client.call import Answer, Call, Lost, failure, retry_after
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
    longest_wait: float = 8.0  # seconds, unless the server asks for more

    def wait(self, made: int, asked: float | None, luck: float) -> float:
        """Seconds before the next try: what the server asked for and a little more, or half to all of the back-off."""
        if asked is not None:
            return asked + luck * min(asked, 1.0) / 4
        backoff = min(self.first_wait * 2.0 ** (made - 1), self.longest_wait)
        return backoff * (0.5 + luck / 2)


@dataclass(frozen=True, kw_only=True)
class Done(Generic[T]):
    """The call is over."""

    value: T


@dataclass(frozen=True, kw_only=True)
class Again:
    """The same request is to be sent again."""

    seconds: float  # from now


@dataclass(kw_only=True)
class Tries(Generic[T]):
    """The tries of one call."""

    call: Call[T]
    policy: RetryPolicy
    started: float  # monotonic, as every `now` below
    made: int = field(default=0, init=False)
    _maybe_done: bool = field(default=False, init=False)

    def seconds_left(self, now: float, most: float) -> float:
        """How long the next try may take."""
        return max(min(most, self.started + self.policy.seconds - now), 0.001)

    def judge(self, outcome: Answer | Lost, *, now: float, luck: float) -> Done[T] | Again:
        """What follows from the outcome of a try. Raises the error with which the call ends."""
        self.made += 1
        if isinstance(outcome, Answer) and outcome.status in _SUCCESS:
            value = self.call.read(outcome)
            wait = self._wait(None, now, luck) if self.call.unfinished(value) else None
            return Done(value=value) if wait is None else self._again(wait, "not all of it is finished")
        if isinstance(outcome, Lost):
            self._maybe_done = self._maybe_done or outcome.arrived
            error: NotifierClientError = ConnectionFailedError(
                f"no answer: {_told(outcome.error)}", self.made, maybe_done=self._maybe_done
            )
            repeated, asked = not outcome.hopeless and (self.call.repeatable or not outcome.arrived), None
        else:
            error, asked = failure(outcome), retry_after(outcome)
            repeated = _is_repeated(self.call, outcome.status, error.code)
        wait = self._wait(asked, now, luck) if repeated else None
        if wait is None:
            raise error from (outcome.error if isinstance(outcome, Lost) else None)
        return self._again(wait, str(error))

    def _wait(self, asked: float | None, now: float, luck: float) -> float | None:
        """Seconds before the next try; None if there is none."""
        wait = self.policy.wait(self.made, asked, luck)
        late = now + wait - self.started >= self.policy.seconds
        return None if late or self.made >= self.policy.tries else wait

    def _again(self, wait: float, why: str) -> Again:
        _log.info("%s %s: %s; again in %.2f s", self.call.method, self.call.path, why, wait)
        return Again(seconds=wait)


def _is_repeated(call: Call[T], status: int, code: str) -> bool:
    """True for an answer that says "later". A gateway that lost its server cannot say whether anything was done."""
    asked = status in _ASKED_TO_REPEAT or code == _IN_PROGRESS
    return asked or (status in _GATEWAY_LOST_IT and call.repeatable)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
