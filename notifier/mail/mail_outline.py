"""What the HTML of a mail has beside its looks: where its links lead, and the preheader that an inbox shows."""

import re
from dataclasses import dataclass

from notifier.mail.html_reader import parse_html

MAX_CHARACTERS = 256 * 1024
"""Of a mail that is read; a longer one has no outline. Gmail shows the first 102 KiB."""
MAX_LINKS = 100
MAX_STYLED = 30  # elements with a style that are looked at: a preheader is one of the first
MAX_SHOWN_LENGTH = 300  # characters of an address or a text
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_FILL = re.compile(r"[\s\u00ad\u034f\u200b-\u200f\u2007\u2060\ufeff]+")


@dataclass(frozen=True, kw_only=True)
class MailLink:
    """A link of a mail."""

    text: str  # what readers see of it; empty: an image without a text
    url: str


@dataclass(frozen=True, kw_only=True)
class MailOutline:
    """The links of a mail, in their order, and its preheader."""

    links: list[MailLink]  # the first 100
    preheader: str  # empty: there is none


def read_outline(html: str) -> MailOutline:
    """Read the links and the preheader of a mail. It parses the whole document, so run it in a thread."""
    if len(html) > MAX_CHARACTERS:
        return MailOutline(links=[], preheader="")
    tree = parse_html(html)
    links = []
    for node in tree.css("a[href], area[href]")[:MAX_LINKS]:
        images = " ".join(image.attributes.get("alt") or "" for image in node.css("img[alt]"))
        text = _shorten(node.text(separator=" ")) or _shorten(images or node.attributes.get("alt") or "")
        links.append(MailLink(text=text, url=_shorten(node.attributes.get("href") or "")))
    styled = tree.css("body [style]")[:MAX_STYLED]
    hidden = (node.text() for node in styled if _HIDDEN.search(node.attributes.get("style") or ""))
    preheader = next(filter(None, map(_shorten, hidden)), "")
    return MailOutline(links=links, preheader=preheader)


def _shorten(text: str) -> str:
    words = _FILL.sub(" ", text).strip()
    return words if len(words) <= MAX_SHOWN_LENGTH else f"{words[: MAX_SHOWN_LENGTH - 1]}…"
