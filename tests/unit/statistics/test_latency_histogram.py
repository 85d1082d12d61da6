"""Quantiles from buckets."""

import random
from collections import Counter

from notifier.statistics import latency_histogram
from notifier.statistics.latency_histogram import BOUNDS, estimate_quantile, find_bucket


def test_a_quantile_is_in_the_bucket_of_the_true_one() -> None:
    """For random times the estimate and the true quantile are in the same bucket."""
    chance = random.Random(1)
    for size in (1, 2, 7, 100, 999):
        times = sorted(chance.expovariate(0.3) for _ in range(size))
        counts = Counter(map(find_bucket, times))
        for quantile in (0.5, 0.95, 1.0):
            true = times[max(0, -int(-quantile * size // 1) - 1)]
            estimate = estimate_quantile(counts, quantile)
            assert estimate is not None
            assert find_bucket(estimate) == find_bucket(true), (size, quantile)


def test_no_times_have_no_quantile() -> None:
    """Without an accepted mail there is no number."""
    assert estimate_quantile({}, 0.5) is None


def test_a_time_beyond_a_day_is_a_day() -> None:
    """The last bucket has no upper bound; the estimate is its lower one."""
    assert estimate_quantile({len(BOUNDS): 3}, 0.5) == BOUNDS[-1]


def test_a_bound_belongs_to_its_bucket() -> None:
    """A time that equals a bound is in the bucket that ends there, in Python as in SQL."""
    assert [find_bucket(bound) for bound in BOUNDS] == list(range(len(BOUNDS)))
    assert "WHEN x <= 0.1 THEN 0" in latency_histogram.build_bucket_sql("x")
