"""Menus that narrow a search for mail, for people who do not know the words of the box."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from notifier.console.mail_words import SCHEDULED, MailSearch, build_search_url, join_words
from notifier.states import Status

MAX_CHOICES = 50
"""Of services or templates in a menu."""
STATUS_WORDS = {
    Status.QUEUED: "waits to be sent",
    SCHEDULED: "is sent later",
    Status.DEFERRED: "is tried again",
    Status.UNKNOWN: "nobody can know",
    Status.SENT: "accepted by a mail server",
    Status.DELIVERED: "delivered",
    Status.BOUNCED: "came back",
    Status.COMPLAINED: "marked as spam",
    Status.FAILED: "could not be sent",
    Status.EXPIRED: "ran out of time",
    Status.SUPPRESSED: "address must not be mailed",
    Status.CANCELLED: "stopped",
}
"""What `status:` can be, as people say it."""
_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class SearchChoice:
    """An entry of a menu."""

    text: str
    url: str  # of the search with it


@dataclass(frozen=True, kw_only=True)
class SearchMenu:
    """Ways to narrow a search by one word."""

    name: str
    choices: list[SearchChoice]


def build_search_menus(
    search: MailSearch, *, services: Iterable[str], templates: Iterable[tuple[str, str]], today: date
) -> list[SearchMenu]:
    """Build the menus for the words that the search does not have. `templates`: short names, and what people say."""
    filters, words = search.filter, [chip.text for chip in search.chips]
    menus = []
    if filters.status is None:
        menus.append(("Did it arrive?", [(text, [f"status:{value}"]) for value, text in STATUS_WORDS.items()]))
    if filters.template is None:
        menus.append(("Template", [(name or slug, [f"template:{slug}"]) for slug, name in templates]))
    if search.service is None:
        menus.append(("Service", [(name, [f"service:{name}"]) for name in services]))
    if filters.created_after is None and filters.created_before is None:
        week = f"after:{today - _WEEK}"
        times = [
            ("today", ["after:today"]),
            ("yesterday", ["after:yesterday", "before:today"]),
            ("last 7 days", [week]),
        ]
        menus.append(("Asked for", times))
    return [
        SearchMenu(
            name=name,
            choices=[
                SearchChoice(text=text, url=build_search_url(join_words([*words, *more])))
                for text, more in choices[:MAX_CHOICES]
            ],
        )
        for name, choices in menus
        if choices
    ]
