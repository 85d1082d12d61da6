"""The rate limit: token buckets in memory for the notifications and requests of a key and of a service.

A caller in an endless loop is stopped without effect on others. The database is not asked, and a refusal takes nothing
from any bucket.
"""

import math
from collections.abc import Sequence
from uuid import UUID

from notifier.clock import Clock
from notifier.errors import NotifierError

WINDOW_SECONDS = 60


class RateLimitedError(NotifierError):
    """The key or its service has used up its requests for this minute; nothing was written."""

    def __init__(self, full: "TokenBucket", seconds: float, bucket_states: "BucketStates") -> None:
        self.retry_after = math.ceil(seconds)
        self.bucket_states = bucket_states
        super().__init__(f"at most {full.quota} a minute ({full.name}): try again in {self.retry_after} s")


class TokenBucket:
    """A token bucket: full at first, and refilled within a minute. Times are monotonic seconds."""

    __slots__ = ("_after_many", "_at", "_level", "name", "quota")

    def __init__(self, name: str, quota: int, now: float) -> None:
        self.name = name  # as in the header fields
        self.quota = quota
        self._level = float(quota)
        self._at = now
        self._after_many = False  # the last request took several

    def get_wait(self, count: int, now: float) -> float:
        """Return the seconds until so many tokens may be taken; 0 now.

        A request for several may take more than there are, and the debt is paid back before the next request. If it
        had to wait for all of them, steady single requests would keep it out for ever. After another request for
        several it waits like a single one, or single ones would never get a token.
        """
        self._fill(now)
        needed = 0 if count > 1 and not self._after_many else min(count, 1)
        missing = needed - self._level
        return missing * WINDOW_SECONDS / self.quota if missing > 0 else 0.0

    def take(self, count: int) -> None:
        """Take tokens; call it only if `get_wait` returned 0."""
        self._level -= count
        self._after_many = count > 1

    def is_full(self, now: float) -> bool:
        """Return True if a new bucket would be equal."""
        self._fill(now)
        return self._level >= self.quota

    def _fill(self, now: float) -> None:
        self._level = min(float(self.quota), self._level + (now - self._at) * self.quota / WINDOW_SECONDS)
        self._at = now

    def get_remaining(self) -> int:
        """Return the number of tokens left."""
        return max(0, int(self._level))

    def get_seconds_to_full(self) -> int:
        """Return the seconds until the bucket is full."""
        return math.ceil((self.quota - self._level) * WINDOW_SECONDS / self.quota)


RateQuota = tuple[str, UUID, int]
"""Name, owner (a key or service), and tokens per minute."""
BucketStates = Sequence[TokenBucket]
"""The buckets in which a request was counted; empty if nothing limits it."""


def build_rate_limit_fields(bucket_states: BucketStates) -> list[tuple[str, str]]:
    """Build the header fields RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10)."""
    if not bucket_states:
        return []
    policy = ", ".join(f'"{bucket.name}";q={bucket.quota};w={WINDOW_SECONDS}' for bucket in bucket_states)
    limit = ", ".join(
        f'"{bucket.name}";r={bucket.get_remaining()};t={bucket.get_seconds_to_full()}' for bucket in bucket_states
    )
    return [("RateLimit-Policy", policy), ("RateLimit", limit)]


class RateLimiter:
    """The buckets of all keys and services that called this process. A quota of 0 limits nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, UUID], TokenBucket] = {}
        self._next_cleanup = clock.monotonic() + WINDOW_SECONDS  # drops buckets that are full again

    def take(self, count: int, *limits: RateQuota) -> BucketStates:
        """Take `count` tokens from each bucket, or from none if one has too few. Raises `RateLimitedError`."""
        now = self._clock.monotonic()
        if now >= self._next_cleanup:
            self._next_cleanup = now + WINDOW_SECONDS
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now)}
        bucket_states = [self._bucket(name, owner, quota, now) for name, owner, quota in limits if quota]
        for bucket in bucket_states:
            if (wait := bucket.get_wait(count, now)) > 0:
                raise RateLimitedError(bucket, wait, bucket_states)
        for bucket in bucket_states:
            bucket.take(count)
        return bucket_states

    def _bucket(self, name: str, owner: UUID, quota: int, now: float) -> TokenBucket:
        bucket = self._buckets.get((name, owner))
        if bucket is None or bucket.quota != quota:  # a new quota counts from now on
            bucket = self._buckets[name, owner] = TokenBucket(name, quota, now)
        return bucket
