"""Normalises the text that a person reads in a mail, for the search.

Case, Unicode forms of the same character, white space and invisible characters make no difference.
"""

import re
import unicodedata
from html import unescape

MAX_PART_LENGTH = 1024 * 1024  # characters of one part that are searched, so that no mail makes a search slow
_INLINE = frozenset(
    {
        "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
        "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
    }
)  # fmt: skip
"""Elements that do not separate the words around them."""
_MARKUP = re.compile(
    r"<!--(?:-?>|.*?(?:-->|\Z))"
    r"|<(head|style|script|title|template)\b.*?(?:</\1\s*>|(?=<body\b)|\Z)"
    r"|</?([a-z!?][^\s/<>]*+)[^<>]*+>",
    re.IGNORECASE | re.DOTALL,
)
"""A comment, a hidden element, or a tag. Each takes linear time, even if it is never closed."""
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufeff]")
"""Invisible characters: soft hyphens, and those with which newsletters pad their preheader."""


def fold_text(text: str) -> str:
    """Remove the differences that a search ignores, and put the text on one line."""
    compatible = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFKC", compatible)).split())


def extract_visible_text(html: str) -> str:
    """Remove the tags of HTML and decode its entities."""
    return unescape(_MARKUP.sub(_replace_markup, html[:MAX_PART_LENGTH]))


def strip_invisible(text: str) -> str:
    """Remove invisible characters."""
    return _INVISIBLE.sub("", text)


def _replace_markup(markup: re.Match[str]) -> str:
    """The text that replaces a piece of markup."""
    is_comment = markup[0].startswith("<!--")
    return "" if is_comment or (markup[2] or "").lower() in _INLINE else " "
