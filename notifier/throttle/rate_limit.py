"""How many notifications a key and a service may submit a minute: token buckets in the memory of this process.

A loop that ran away is stopped, and nobody else notices. Nothing is asked of the database, and what is refused takes
nothing out of any bucket.
"""

import math
from collections.abc import Sequence
from uuid import UUID

from notifier.clock import Clock
from notifier.errors import NotifierError

WINDOW_SECONDS = 60


class RateLimitedError(NotifierError):
    """More than this key, or its service, may ask for in a minute; nothing was written."""

    def __init__(self, full: "TokenBucket", seconds: float, standing: "BucketStates") -> None:
        self.retry_after = math.ceil(seconds)
        self.bucket_states = standing
        super().__init__(f"at most {full.quota} a minute ({full.name}): try again in {self.retry_after} s")


class TokenBucket:
    """Full at first, filled again within a minute. Times are monotonic seconds."""

    __slots__ = ("_after_many", "_at", "_level", "name", "quota")

    def __init__(self, name: str, quota: int, now: float) -> None:
        self.name = name  # as the header fields call it
        self.quota = quota
        self._level = float(quota)
        self._at = now
        self._after_many = False  # the last to be let in were many

    def get_wait(self, count: int, now: float) -> float:
        """Seconds until so many may be taken; 0 now.

        Many may be taken while nothing is owed, and are paid back before anything else is let in. If they had to find
        enough for all of them, steady single requests, which leave none, would keep them out for ever. Many after many
        wait like a single one, or those would never find any.
        """
        self._fill(now)
        needed = 0 if count > 1 and not self._after_many else min(count, 1)
        missing = needed - self._level
        return missing * WINDOW_SECONDS / self.quota if missing > 0 else 0.0

    def take(self, count: int) -> None:
        """Take them; `wait_for` said that one may."""
        self._level -= count
        self._after_many = count > 1

    def is_full(self, now: float) -> bool:
        """True if a new one would say the same."""
        self._fill(now)
        return self._level >= self.quota

    def _fill(self, now: float) -> None:
        self._level = min(float(self.quota), self._level + (now - self._at) * self.quota / WINDOW_SECONDS)
        self._at = now

    def get_remaining(self) -> int:
        """How many are left."""
        return max(0, int(self._level))

    def get_seconds_to_full(self) -> int:
        """When all of them are there again."""
        return math.ceil((self.quota - self._level) * WINDOW_SECONDS / self.quota)


RateQuota = tuple[str, UUID, int]
"""Name, whose it is, and how many a minute."""
BucketStates = Sequence[TokenBucket]
"""The buckets that a request was counted in; empty if nothing limits it."""


def build_rate_limit_fields(standing: BucketStates) -> list[tuple[str, str]]:
    """The header fields that tell a caller where it stands (draft-ietf-httpapi-ratelimit-headers-10)."""
    if not standing:
        return []
    policy = ", ".join(f'"{bucket.name}";q={bucket.quota};w={WINDOW_SECONDS}' for bucket in standing)
    left = ", ".join(f'"{one.name}";r={one.get_remaining()};t={one.get_seconds_to_full()}' for one in standing)
    return [("RateLimit-Policy", policy), ("RateLimit", left)]


class RateLimiter:
    """The buckets of all keys and services that this process has seen. A quota of 0 limits nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, UUID], TokenBucket] = {}
        self._next_look = clock.monotonic() + WINDOW_SECONDS  # for those that are full again

    def take(self, count: int, *limits: RateQuota) -> BucketStates:
        """Count so many in each bucket. Raises `RateLimitedError`.

        Each bucket has room or nothing is taken from any.
        """
        now = self._clock.monotonic()
        if now >= self._next_look:
            self._next_look = now + WINDOW_SECONDS
            self._buckets = {whose: one for whose, one in self._buckets.items() if not one.is_full(now)}
        standing = [self._bucket(name, owner, quota, now) for name, owner, quota in limits if quota]
        for bucket in standing:
            if (wait := bucket.get_wait(count, now)) > 0:
                raise RateLimitedError(bucket, wait, standing)
        for bucket in standing:
            bucket.take(count)
        return standing

    @property
    def bucket_count(self) -> int:
        """How many buckets are remembered: those of the last minutes, whoever has called before."""
        return len(self._buckets)

    def _bucket(self, name: str, owner: UUID, quota: int, now: float) -> TokenBucket:
        bucket = self._buckets.get((name, owner))
        if bucket is None or bucket.quota != quota:  # a new quota counts from now on
            bucket = self._buckets[name, owner] = TokenBucket(name, quota, now)
        return bucket
