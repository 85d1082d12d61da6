"""How the console writes times, durations, numbers, and words of strangers."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from notifier.console import words
from notifier.console.page import find_next_path
from notifier.console.pages.home import compute_day

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 12, 4, 22, 30, tzinfo=UTC)  # half past eleven in the evening of a Friday in Amsterdam


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (NOW, "today 23:30"),
        (NOW + timedelta(hours=1), "tomorrow 00:30"),
        (NOW - timedelta(hours=23, minutes=31), "yesterday 23:59"),
        (NOW - timedelta(days=2), "Wed 2 Dec 23:30"),
        (NOW - timedelta(days=180), "Mon 8 Jun 00:30"),
        (NOW - timedelta(days=365), "4 Dec 2025 23:30"),
        (NOW + timedelta(days=40), "13 Jan 2027 23:30"),
    ],
)
def test_times_are_said_as_people_say_them(moment: datetime, said: str) -> None:
    """A day is that of the reader, and UTC is in the hover text."""
    assert words.describe_time(moment, AMSTERDAM, NOW) == said
    marked = words.format_time(moment, AMSTERDAM, NOW)
    assert f'title="{moment:%Y-%m-%d %H:%M:%S} UTC"' in marked
    assert f'datetime="{moment:%Y-%m-%dT%H:%M:%SZ}"' in marked
    exact = words.describe_time(moment, AMSTERDAM, NOW, to_second=True)
    assert exact == f"{said}:{moment:%S}"  # for a timeline


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Europe/Amsterdam", "Amsterdam (UTC+1)"),
        ("America/St_Johns", "St Johns (UTC-3:30)"),
        ("Asia/Kathmandu", "Kathmandu (UTC+5:45)"),
        ("UTC", "UTC"),
    ],
)
def test_zones_are_named_with_their_offset(name: str, said: str) -> None:
    """A zone is its place and its offset at this time of the year."""
    assert words.describe_zone(name, ZoneInfo(name), NOW) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min"), (190, "3 min 10 s"), (3_600, "1 h"), (90_061, "1 day 1 h"), (-70, "1 min 10 s")],
)
def test_durations_have_two_units_at_most(seconds: float, said: str) -> None:
    """A duration is written by its two largest units."""
    assert words.describe_duration(seconds) == said == words.describe_duration(timedelta(seconds=seconds))


def test_numbers_and_words_agree() -> None:
    """A number has separators, and its word the right form."""
    assert [words.choose_plural(count, "mail") for count in (0, 1, 1_204)] == ["0 mails", "1 mail", "1,204 mails"]
    assert words.choose_plural(2, "reply", "replies") == "2 replies"


def test_what_cannot_be_seen_is_shown() -> None:
    """Controls, marks of direction and separators become code points; tabs, line ends and emoji stay as they are."""
    hidden = "\x00\x07\x1b\x7f\x85\u061c\u200b\u200e\u202e\u2028\u2066\ufeff"
    for character in hidden:
        assert words.reveal_controls(f"a{character}b") == f"a⟨U+{ord(character):04X}⟩b"
    harmless = "tab\tline\nZoë 👩\u200d🔬 שלום हिन्दी\u200c"
    assert words.reveal_controls(harmless) == harmless


def test_addresses_cannot_turn_the_text_around_them() -> None:
    """An address is isolated, escaped, and shows every mark in it, also those that words may have."""
    marked = words.format_address('<b>"a\u202e\u200d"@example.com')
    assert marked == "<bdi>&lt;b&gt;&#34;a⟨U+202E⟩⟨U+200D⟩&#34;<wbr>@example.com</bdi>"


@pytest.mark.parametrize(
    ("user_agent", "said"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/156 Safari/537 Edg/156", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19 Safari/604", "Safari on an iPhone"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537 Chrome/156 Mobile Safari/537", "Chrome on Android"),
        ("curl/8", "A browser"),
    ],
)
def test_browsers_have_names(user_agent: str, said: str) -> None:
    """A session is recognised by the browser and the system that it is used with."""
    assert words.describe_browser(user_agent) == said


@pytest.mark.parametrize(
    "wanted",
    ["", None, "https://example.com/", "//example.com/", "/console", "/consoles/", "/console/\\x", "/console/\n", "/"],
)
def test_nobody_is_sent_away_after_signing_in(wanted: str | None) -> None:
    """The next page is one of the console, else the first one."""
    assert find_next_path(wanted) == "/console/"
    assert find_next_path("/console/mail?q=bob") == "/console/mail?q=bob"


def test_a_day_is_that_of_the_reader() -> None:
    """It begins at the reader's midnight and ends at the next one, also when clocks change."""
    assert compute_day(NOW, AMSTERDAM).start == datetime(2026, 12, 3, 23, tzinfo=UTC)
    short = compute_day(datetime(2026, 3, 29, 12, tzinfo=UTC), AMSTERDAM)
    assert short.stop - short.start == timedelta(hours=23)
