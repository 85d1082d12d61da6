"""Token buckets: what is counted, what is refused, and what callers are told."""

from uuid import UUID, uuid4

import pytest
from parts.time import HandClock

from notifier.throttle import rate
from notifier.throttle.rate import RateLimitedError, Rates

KEY, SERVICE = uuid4(), uuid4()


def _limits(key: int, service: int, owner: UUID = KEY) -> tuple[rate.Limit, rate.Limit]:
    return ("key", owner, key), ("service", SERVICE, service)


def test_a_bucket_empties_and_fills_again() -> None:
    """Sixty a minute: sixty at once, then one a second."""
    clock = HandClock()
    rates = Rates(clock)
    for _ in range(60):
        rates.take(1, ("key", KEY, 60))
    with pytest.raises(RateLimitedError) as refused:
        rates.take(1, ("key", KEY, 60))
    assert refused.value.retry_after == 1
    clock.later(1)
    rates.take(1, ("key", KEY, 60))
    with pytest.raises(RateLimitedError):
        rates.take(1, ("key", KEY, 60))
    clock.later(3600)
    assert rates.take(1, ("key", KEY, 60))[0].remaining() == 59


def test_coming_again_when_told_is_enough() -> None:
    """Whoever waits for as long as `retry_after` says is let in."""
    clock = HandClock()
    rates = Rates(clock)
    rates.take(90, ("key", KEY, 100))
    with pytest.raises(RateLimitedError) as refused:
        rates.take(50, ("key", KEY, 100))
    clock.later(refused.value.retry_after)
    rates.take(50, ("key", KEY, 100))


def test_a_refusal_takes_nothing_anywhere() -> None:
    """The service's bucket is full: the key's keeps what it had, and a second key is refused as well."""
    rates = Rates(HandClock())
    rates.take(10, *_limits(100, 10))
    for owner in (KEY, uuid4()):
        with pytest.raises(RateLimitedError, match="service"):
            rates.take(1, *_limits(100, 10, owner))
    assert rates.take(1, ("key", KEY, 100))[0].remaining() == 89


def test_what_is_larger_than_the_bucket_goes_when_it_is_full() -> None:
    """A batch of a thousand under a quota of a hundred: once it is full, and paid back before anything else."""
    clock = HandClock()
    rates = Rates(clock)
    rates.take(1, ("key", KEY, 100))
    with pytest.raises(RateLimitedError):
        rates.take(1000, ("key", KEY, 100))
    clock.later(1)
    (bucket,) = rates.take(1000, ("key", KEY, 100))
    assert (bucket.remaining(), bucket.seconds_to_full()) == (0, 600)
    clock.later(540)
    with pytest.raises(RateLimitedError) as refused:
        rates.take(1, ("key", KEY, 100))
    assert refused.value.retry_after == 1
    clock.later(1)
    rates.take(1, ("key", KEY, 100))


def test_nothing_limits_where_the_quota_is_none() -> None:
    """A quota of 0 is no bucket, and nothing is told."""
    rates = Rates(HandClock())
    standing = rates.take(10**9, *_limits(0, 0))
    assert (list(standing), rate.fields(standing)) == ([], [])


def test_a_new_quota_counts_at_once() -> None:
    """A bucket that was empty has the new quota when the row of the key has changed."""
    rates = Rates(HandClock())
    rates.take(10, ("key", KEY, 10))
    assert rates.take(1, ("key", KEY, 20))[0].remaining() == 19


def test_what_callers_are_told() -> None:
    """Both limits, as structured fields (RFC 9651): quota and window, and what is left until when."""
    rates = Rates(HandClock())
    standing = rates.take(30, *_limits(60, 600))
    assert dict(rate.fields(standing)) == {
        "RateLimit-Policy": '"key";q=60;w=60, "service";q=600;w=60',
        "RateLimit": '"key";r=30;t=30, "service";r=570;t=3',
    }
