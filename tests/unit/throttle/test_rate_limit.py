"""Token buckets: what is counted, what is refused, and what callers read."""

import contextlib
from uuid import UUID, uuid4

import pytest
from support.manual_clock import ManualClock

from notifier.throttle import token_bucket
from notifier.throttle.token_bucket import RateLimitedError, RateLimiter

KEY, SERVICE = uuid4(), uuid4()


def _limits(key: int, service: int, owner: UUID = KEY) -> tuple[token_bucket.RateQuota, token_bucket.RateQuota]:
    return ("key", owner, key), ("service", SERVICE, service)


def test_a_bucket_empties_and_fills_again() -> None:
    """Sixty a minute: sixty at once, then one a second."""
    clock = ManualClock()
    rates = RateLimiter(clock)
    for _ in range(60):
        rates.take(1, ("key", KEY, 60))
    with pytest.raises(RateLimitedError) as refused:
        rates.take(1, ("key", KEY, 60))
    assert refused.value.retry_after == 1
    clock.advance(1)
    rates.take(1, ("key", KEY, 60))
    with pytest.raises(RateLimitedError):
        rates.take(1, ("key", KEY, 60))
    clock.advance(3600)
    assert rates.take(1, ("key", KEY, 60))[0].get_remaining() == 59


def test_retry_after_is_long_enough() -> None:
    """A request after the time in `retry_after` is accepted."""
    clock = ManualClock()
    rates = RateLimiter(clock)
    for _ in range(2):
        rates.take(90, ("key", KEY, 100))
    with pytest.raises(RateLimitedError) as refused:
        rates.take(50, ("key", KEY, 100))
    clock.advance(refused.value.retry_after)
    rates.take(50, ("key", KEY, 100))


def test_a_refusal_takes_nothing_anywhere() -> None:
    """The service's bucket is full: the key's keeps what it had, and a second key is refused as well."""
    rates = RateLimiter(ManualClock())
    rates.take(10, *_limits(100, 10))
    for owner in (KEY, uuid4()):
        with pytest.raises(RateLimitedError, match="service"):
            rates.take(1, *_limits(100, 10, owner))
    assert rates.take(1, ("key", KEY, 100))[0].get_remaining() == 89


def test_a_batch_makes_a_debt_that_is_paid_back() -> None:
    """A thousand under a quota of a hundred: accepted at once, and nothing else until all of it is paid back."""
    clock = ManualClock()
    rates = RateLimiter(clock)
    rates.take(1, ("key", KEY, 100))
    (bucket,) = rates.take(1000, ("key", KEY, 100))
    assert (bucket.get_remaining(), bucket.get_seconds_to_full()) == (0, 601)
    for count, seconds in ((1000, 542), (1, 542)):  # 901 are owed, and one is needed
        with pytest.raises(RateLimitedError) as refused:
            rates.take(count, ("key", KEY, 100))
        assert refused.value.retry_after == seconds
    clock.advance(542)
    rates.take(1, ("key", KEY, 100))


def test_single_requests_do_not_keep_a_batch_out() -> None:
    """Sixty a minute, asked for twice as often as that and for ever: a batch that comes between gets in at once."""
    clock = ManualClock()
    rates = RateLimiter(clock)
    singles = 0
    for _ in range(240):
        with contextlib.suppress(RateLimitedError):
            rates.take(1, ("key", KEY, 60))
            singles += 1
        clock.advance(0.5)
    assert singles < 240
    rates.take(50, ("key", KEY, 60))


def test_batches_do_not_keep_single_requests_out() -> None:
    """Batches asked for without a pause: once what they owe is paid, a single one that comes first is let in."""
    clock = ManualClock()
    rates = RateLimiter(clock)
    taken: list[int] = []
    for _ in range(400):
        for count in (1, 50):
            with contextlib.suppress(RateLimitedError):
                rates.take(count, ("key", KEY, 60))
                taken.append(count)
        clock.advance(0.5)
    assert (taken.count(1), taken.count(50)) == (6, 6)


def test_buckets_that_are_full_again_are_forgotten() -> None:
    """A thousand keys that called once are not remembered two minutes later; one that owes is."""
    clock = ManualClock()
    rates = RateLimiter(clock)
    rates.take(1000, ("key", KEY, 100))
    for _ in range(1000):
        rates.take(1, ("key", uuid4(), 100))
    clock.advance(120)
    rates.take(1, ("key", SERVICE, 100))
    assert len(rates._buckets) == 2
    with pytest.raises(RateLimitedError):
        rates.take(1, ("key", KEY, 100))


def test_a_quota_of_zero_limits_nothing() -> None:
    """A quota of 0 makes no bucket and no header fields."""
    rates = RateLimiter(ManualClock())
    standing = rates.take(10**9, *_limits(0, 0))
    assert (list(standing), token_bucket.build_rate_limit_fields(standing)) == ([], [])


def test_a_new_quota_counts_at_once() -> None:
    """A bucket that was empty has the new quota when the row of the key has changed."""
    rates = RateLimiter(ManualClock())
    rates.take(10, ("key", KEY, 10))
    assert rates.take(1, ("key", KEY, 20))[0].get_remaining() == 19


def test_the_header_fields_of_both_limits() -> None:
    """Structured fields (RFC 9651): quota and window, tokens left and the time until the bucket is full."""
    rates = RateLimiter(ManualClock())
    standing = rates.take(30, *_limits(60, 600))
    assert dict(token_bucket.build_rate_limit_fields(standing)) == {
        "RateLimit-Policy": '"key";q=60;w=60, "service";q=600;w=60',
        "RateLimit": '"key";r=30;t=30, "service";r=570;t=3',
    }
