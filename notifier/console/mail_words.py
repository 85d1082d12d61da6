"""Reads the words of the search box: an address, an id, a Message-ID, `tag:`, `template:`, `status:` and so on."""

import re
import shlex
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches
from urllib.parse import urlencode
from uuid import UUID

from notifier import email_address
from notifier.lookup.index_walk import NotificationFilter
from notifier.states import Status

MAX_LENGTH = 500
"""Characters of the box that are read."""
WORDS = ("to", "tag", "template", "status", "service", "after", "before")
SCHEDULED = "scheduled"
_STATUSES = (SCHEDULED, *Status)
_WORD = re.compile(r"([A-Za-z_]+):(.*)", re.DOTALL)
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_CLOCK = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}))?")


@dataclass(frozen=True, kw_only=True)
class SearchChip:
    """One thing that was understood, and the rest of the search without it."""

    text: str
    rest: str


@dataclass(frozen=True, kw_only=True)
class MailSearch:
    """What a search asks for, and what of it was not understood."""

    filter: NotificationFilter = field(default_factory=NotificationFilter)
    service: str | None = None  # its name
    id: UUID | None = None
    letters: str | None = None  # neither an address nor a word: what an address or a template begins with
    chips: tuple[SearchChip, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def finds_mail(self) -> bool:
        """True if it asks for mails; it may also ask for one mail by its id, or what begins with some letters."""
        return not self.problems and self.id is None and self.letters is None


@dataclass
class _Reader:
    """Collects what the words of a search mean."""

    zone: tzinfo
    now: datetime
    search: MailSearch = field(default_factory=MailSearch)
    problems: list[str] = field(default_factory=list)

    def read(self, text: str) -> None:
        """Read one word of the box."""
        match = _WORD.fullmatch(text)
        if match is not None and "@" not in match[1]:
            self._read_word(match[1].lower(), match[2])
        else:
            self._read_plain(text)

    def _read_plain(self, text: str) -> None:
        id_ = parse_id(text)
        if id_ is not None:
            self.search = replace(self.search, id=id_)
        elif "@" in text.strip("@"):
            self._narrow(to=_normalise(text))
        else:
            letters = f"{self.search.letters} {text}" if self.search.letters else text
            self.search = replace(self.search, letters=letters)

    def _read_word(self, word: str, value: str) -> None:
        if word not in WORDS:
            nearest = get_close_matches(word, WORDS, 1, 0.5)
            advice = f"did you mean {nearest[0]}:?" if nearest else f"the words are {', '.join(f'{w}:' for w in WORDS)}"
            self.problems.append(f"{word}: is not a word here; {advice}")
        elif not value:
            self.problems.append(f"After {word}: something is missing.")
        elif word == "to":
            self._narrow(to=_normalise(value))
        elif word == "service":
            self.search = replace(self.search, service=value)
        elif word == "status":
            self._read_status(value.lower())
        elif word in ("after", "before"):
            self._read_time(word, value)
        else:
            self._narrow(**{word: value})

    def _read_status(self, value: str) -> None:
        if value not in _STATUSES:
            nearest = get_close_matches(value, _STATUSES, 1, 0.5)
            advice = f"did you mean {nearest[0]}?" if nearest else f"it is one of {', '.join(_STATUSES)}"
            self.problems.append(f"{value} is no status; {advice}")
        elif value in (SCHEDULED, Status.QUEUED):
            self._narrow(status=Status.QUEUED, scheduled=value == SCHEDULED)
        else:
            self._narrow(status=Status(value))

    def _read_time(self, word: str, value: str) -> None:
        moment = parse_moment(value, self.zone, self.now)
        if moment is None:
            self.problems.append(f"{value} is no day. Write it as {self.now.astimezone(self.zone):%Y-%m-%d}, or today.")
        else:
            self._narrow(**{f"created_{word}": moment})

    def _narrow(self, **values: object) -> None:
        self.search = replace(self.search, filter=replace(self.search.filter, **values))  # type: ignore[arg-type]


def parse_search(text: str, zone: tzinfo, now: datetime) -> MailSearch:
    """Read the search box. Days are those of the reader's zone. A value with blanks stands in quotes."""
    parts = split_words(text[:MAX_LENGTH])
    reader = _Reader(zone, now)
    for part in parts:
        reader.read(part)
    chips = tuple(
        SearchChip(text=part, rest=join_words([*parts[:number], *parts[number + 1 :]]))
        for number, part in enumerate(parts)
    )
    return replace(reader.search, chips=chips, problems=tuple(reader.problems))


def split_words(text: str) -> list[str]:
    """Split at blanks, except within double quotes. An open quote ends with the text."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.quotes, lexer.escape, lexer.commenters = True, '"', "", ""
    try:
        return list(lexer)
    except ValueError:
        return text.replace('"', " ").split()


def join_words(parts: list[str]) -> str:
    """Join words so that `split_words` gives them back."""
    return " ".join(f'"{part}"' if any(map(str.isspace, part)) else part for part in parts)


def build_search_url(text: str, **more: object) -> str:
    """Build the URL of a search."""
    values = {"q": text} | {name: str(value) for name, value in more.items()}
    query = urlencode({name: value for name, value in values.items() if value})
    return f"/console/mail?{query}" if query else "/console/mail"


def parse_id(text: str) -> UUID | None:
    """Read an id, or the Message-ID of a mail, which begins with the id in hexadecimal digits."""
    bare = text.strip("<>").partition("@")[0].lower().replace("-", "")
    return UUID(bare) if _HEX_ID.fullmatch(bare) else None


def parse_moment(text: str, zone: tzinfo, now: datetime) -> datetime | None:
    """Read a day, or a time of a day, in the reader's zone; None if it is none."""
    today = now.astimezone(zone).date()
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    if text.lower() in named:
        return _combine(named[text.lower()], "00:00", zone)
    match = _CLOCK.fullmatch(text)
    try:
        return _combine(date.fromisoformat(match[1]), match[2] or "00:00", zone) if match else None
    except (ValueError, OverflowError):
        return None


def _combine(day: date, clock: str, zone: tzinfo) -> datetime:
    return datetime.fromisoformat(f"{day.isoformat()}T{clock}").replace(tzinfo=zone).astimezone(UTC)


def _normalise(text: str) -> str:
    """Write an address as it is stored; a text that is none is searched as it is, and not found."""
    try:
        return email_address.normalise_address(text.strip("<>,;"))
    except email_address.InvalidAddressError:
        return text
