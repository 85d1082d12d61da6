"""The arithmetic of the benchmark: a wrong percentile would be believed."""

import math

import pytest

from bench.rig.metrics_reader import Histogram
from bench.rig.result_table import compute_percentile, format_best_and_median
from bench.scaling_table import DOCUMENT, TEMPLATES, format_tables, replace_tables
from notifier.health.capacity_model import estimate_checked_delivery, estimate_limited_delivery, read_measurement

BEFORE = Histogram(((0.001, 10.0), (0.01, 10.0), (math.inf, 10.0)))
AFTER = Histogram(((0.001, 60.0), (0.01, 108.0), (math.inf, 110.0)))


@pytest.mark.parametrize(("q", "expected"), [(50, 0.001), (98, 0.01), (99, 0.01), (25, 0.0005), (74, 0.0055)])
def test_a_percentile_lies_within_its_bucket(q: float, expected: float) -> None:
    """Of the values between two readings only; in the last bucket, which has no end, it is where that begins."""
    assert (AFTER - BEFORE).percentile(q) == pytest.approx(expected)


def test_readings_of_several_waves_are_added() -> None:
    """Bucket by bucket."""
    assert (BEFORE + BEFORE).buckets == ((0.001, 20.0), (0.01, 20.0), (math.inf, 20.0))


def test_nothing_has_no_percentile() -> None:
    """Two equal readings: no number is made up."""
    assert math.isnan((BEFORE - BEFORE).percentile(99))


def test_a_percentile_was_measured() -> None:
    """Nearest rank, never a value between two."""
    assert [compute_percentile([3.0, 1.0, 2.0], q) for q in (1, 50, 99)] == [1.0, 2.0, 3.0]


def test_best_and_median_are_told_apart() -> None:
    """The issue asks for the best of three; the median says whether it was luck."""
    assert format_best_and_median([1.0, 4.0, 2.0], "{:.0f}") == "best 4, median 2 [1 … 4]"


def test_the_scaling_page_has_the_tables_of_the_model() -> None:
    """docs/scaling.md is what bench/scaling_table.py writes from the committed costs."""
    text = DOCUMENT.read_text()
    assert replace_tables(text, format_tables(read_measurement())) == text


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_model_was_checked(template: str) -> None:
    """In the committed measurement, a delivery was as fast as the model expected, within a fifth."""
    results = read_measurement().results
    measured = results[f"scale.{template}.check.measured"]
    assert estimate_checked_delivery(results, template) == pytest.approx(measured, rel=0.2)


def test_a_small_database_is_as_fast_as_its_cores() -> None:
    """A tenth of a core, and half a millisecond of it for each mail: 200 mails a second."""
    costs = {"scale.welcome.limited.cores": 0.1, "scale.welcome.deliver.2.database": 0.0005}
    assert estimate_limited_delivery(costs, "welcome") == pytest.approx(200)
