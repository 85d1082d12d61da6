"""Numbers and times as the readers of a report see them."""

import pytest

from notifier.reports import report_variables
from notifier.states import Reason


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999, "9,999"), (10_000, "10.0k"), (123_456, "123.5k"), (999_949, "999.9k"), (999_950, "1.0M")],
)
def test_a_number_over_a_bar_is_short(number: int, text: str) -> None:
    """From ten thousand on, a number is written in thousands or millions."""
    assert report_variables.shorten_number(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.04, "0.0 s"), (9.94, "9.9 s"), (10, "10 s"), (99, "99 s"), (100, "2 min"), (5400, "1.5 h")],
)
def test_a_time_has_the_unit_of_its_size(seconds: float | None, text: str) -> None:
    """Seconds, minutes or hours."""
    assert report_variables.format_seconds(seconds) == text


def test_each_reason_has_words() -> None:
    """A report explains every reason, in at most 42 characters, which is the column of its text part."""
    assert set(report_variables.REASON_WORDS) == set(Reason)
    assert max(map(len, report_variables.REASON_WORDS.values())) <= 42
