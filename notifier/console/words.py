"""How the console writes times, durations, numbers and words of strangers."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta, tzinfo

from markupsafe import Markup, escape

from notifier.lookup.answer import describe_offset

# Control characters except tab and line ends, marks that change the direction of text, and invisible separators.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_UNITS = ((86_400, "day", "days"), (3_600, "h", "h"), (60, "min", "min"), (1, "s", "s"))
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("iPhone", "an iPhone"),
    ("iPad", "an iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "a Mac"),
    ("Linux", "Linux"),
)
"""Words in the User-Agent of a browser, and what they mean; the first that is there counts."""
SHOWN_UNITS = 2


def reveal_controls(text: str) -> str:
    """Replace characters that cannot be seen, or that turn text around, by their code points."""
    return _HIDDEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def format_address(address: str) -> Markup:
    """Format an address so that its direction cannot change the text around it."""
    visible = "".join(
        f"⟨U+{ord(each):04X}⟩" if unicodedata.category(each) in {"Cf", "Cc", "Zl", "Zp"} else each for each in address
    )
    local, at, domain = visible.rpartition("@")
    return Markup("<bdi>{}{}{}</bdi>").format(local, Markup("<wbr>@") if at else "", domain)


def describe_time(moment: datetime, zone: tzinfo, now: datetime, *, to_second: bool = False) -> str:
    """Describe a time as people say it: "today 14:02", "Fri 5 Dec 14:02"."""
    local, today = moment.astimezone(zone), now.astimezone(zone).date()
    clock = f"{local:%H:%M:%S}" if to_second else f"{local:%H:%M}"
    days = (local.date() - today).days
    if days in {-1, 0, 1}:
        return f"{('yesterday', 'today', 'tomorrow')[days + 1]} {clock}"
    if local.year == today.year:
        return f"{local:%a} {local.day} {local:%b} {clock}"
    return f"{local.day} {local:%b %Y} {clock}"


def format_time(moment: datetime, zone: tzinfo, now: datetime, *, to_second: bool = False) -> Markup:
    """Format a time in the reader's zone, with UTC on hover."""
    utc = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{utc:%Y-%m-%d %H:%M:%S} UTC",
        describe_time(moment, zone, now, to_second=to_second),
    )


def describe_zone(zone_name: str, zone: tzinfo, now: datetime) -> str:
    """Describe a time zone: "Amsterdam (UTC+1)"."""
    shift = describe_offset(now.astimezone(zone))
    city = zone_name.rpartition("/")[2].replace("_", " ")
    return shift if city == shift else f"{city} ({shift})"


def describe_duration(duration: timedelta | float) -> str:
    """Describe a duration by its two largest units: "3 min 10 s". A number is of seconds."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    left = round(abs(seconds))
    words = []
    for size, one_unit, many_units in _UNITS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {one_unit if count == 1 else many_units}")
    return " ".join(words[:SHOWN_UNITS]) or "0 s"


def format_number(number: float) -> str:
    """Format a number with separators."""
    return f"{number:,}"


def choose_plural(count: int, singular: str, plural: str | None = None) -> str:
    """Choose the form of a word, with its number: "1 mail", "1,204 mails"."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def keep_verbatim(text: object) -> Markup:
    """Escape a text but keep its hidden characters, for fields whose text is sent back."""
    return escape(text)


def describe_browser(user_agent: str) -> str:
    """Describe a browser by its User-Agent: "Firefox on a Mac"."""
    browser = next((word for mark, word in _BROWSERS if mark in user_agent), "A browser")
    system = next((word for mark, word in _SYSTEMS if mark in user_agent), None)
    return f"{browser} on {system}" if system else browser
