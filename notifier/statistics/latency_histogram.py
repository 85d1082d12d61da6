"""The time to 250 in fixed buckets: from `send_at` to the reply that accepted the mail."""

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

BOUNDS: Final = (
    *(0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 45.0),
    *(60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0),
)
"""Upper bounds of the buckets in seconds; one more bucket has what took longer than a day."""
NO_BUCKET: Final = -1
"""Instead of a bucket: no attempt was accepted."""


def find_bucket(seconds: float) -> int:
    """Find the bucket of a time: the first one whose bound is not less."""
    return bisect_left(BOUNDS, seconds)


def build_bucket_sql(seconds: str) -> str:
    """Build the SQL expression of the bucket for an expression of seconds, which may be NULL."""
    cases = " ".join(f"WHEN {seconds} <= {bound} THEN {number}" for number, bound in enumerate(BOUNDS))
    return f"CASE WHEN {seconds} IS NULL THEN {NO_BUCKET} {cases} ELSE {len(BOUNDS)} END"


def estimate_quantile(counts: Mapping[int, int], quantile: float) -> float | None:
    """Estimate a quantile (0 to 1) in seconds from counts by bucket; None if nothing was accepted.

    It is in the bucket of the true value, between the bounds in proportion. Beyond a day it is a day.
    """
    numbers = [counts.get(bucket, 0) for bucket in range(len(BOUNDS) + 1)]
    total = sum(numbers)
    if not total:
        return None
    rank = max(quantile * total, 1e-9)
    sums = list(accumulate(numbers))
    bucket = bisect_left(sums, rank)
    if bucket >= len(BOUNDS):
        return BOUNDS[-1]
    low = BOUNDS[bucket - 1] if bucket else 0.0
    return low + (BOUNDS[bucket] - low) * (rank - (sums[bucket] - numbers[bucket])) / numbers[bucket]
