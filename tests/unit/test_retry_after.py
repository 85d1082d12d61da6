"""Reading Retry-After, whatever a server writes there."""

from datetime import UTC, datetime

import pytest

from notifier.backoff import parse_retry_after
from notifier.client.api_call import HttpResponse, get_retry_after

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = 86400.0
NONSENSE = (
    "Fri, 31 Dec 9999 23:59:59 -2400",
    "Fri, 31 Dec 9999 23:59:59 -99999999999999999999",
    "Tue, 24 Nov 99999999999999999999 12:01:00 GMT",
    "Tue, 24 Nov 2026 999999999999:01:00 GMT",
    "Tue, 24 Nov 2026 12:999999999999:00 GMT",
    "-" + "9" * 400,
    "1e400",
    "x" * 10_240,
    "Tue, " * 2_000,
    "Tue, 24 Nov 2026 12:01:00 +" + "9" * 10_000,
    "\x00",
    "-5",
    "inf",
    "nan",
    "soon",
    "١٢",
    "",
)
"""What `email.utils` cannot make a date of, and what it raises for."""


@pytest.mark.parametrize("value", NONSENSE)
def test_nonsense_asks_for_nothing(value: str) -> None:
    """Neither webhooks nor the producer nor the clients stumble over it."""
    assert parse_retry_after(value, NOW) is None
    assert parse_retry_after(value, NOW, maximum=DAY) is None
    assert get_retry_after(HttpResponse(status=503, headers={"retry-after": value}, content=b"", at=NOW)) is None


@pytest.mark.parametrize("value", ["9" * 10, "9" * 20, "9" * 10_240])
def test_a_number_of_many_digits_counts_only_under_a_maximum(value: str) -> None:
    """Without a maximum it asks for nothing."""
    assert parse_retry_after(value, NOW) is None
    assert parse_retry_after(value, NOW, maximum=DAY) == DAY


def test_a_date_in_another_century_is_cut_to_the_maximum() -> None:
    """A webhook's receiver can put its delivery off by a day, and no longer."""
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 -2359", NOW, maximum=DAY) == DAY


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("120", 120.0),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 12:01:00", 60.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_a_hint_is_read_in_both_forms(value: str, seconds: float) -> None:
    """A number, and a date, which may be past."""
    assert parse_retry_after(value, NOW) == seconds
    assert parse_retry_after(value, NOW, maximum=DAY) == seconds
