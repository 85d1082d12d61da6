"""Reading Retry-After, whatever a server writes there."""

from datetime import UTC, datetime

import pytest

from notifier.client.api_call import HttpResponse, get_retry_after
from notifier.retry_after import parse_retry_after

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ABSURD = (
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
)
"""What `email.utils` cannot make a date of, and what it raises for."""


@pytest.mark.parametrize("value", [*ABSURD, "9" * 5_000, "-5", "inf", "nan", ""])
def test_an_absurd_hint_asks_for_nothing(value: str) -> None:
    """Neither the producer nor the clients stumble over it."""
    assert parse_retry_after(value, NOW) is None
    assert get_retry_after(HttpResponse(status=503, headers={"retry-after": value}, content=b"", at=NOW)) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (" 7 ", 7.0),
        ("Tue, 24 Nov 2026 12:01:00 GMT", 60.0),
        ("Tue, 24 Nov 2026 12:01:00", 60.0),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_a_hint_is_read_in_both_forms(value: str, seconds: float) -> None:
    """A number, and a date, which may be past."""
    assert parse_retry_after(value, NOW) == seconds
