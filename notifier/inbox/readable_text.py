"""What a person reads of a mail, as one text to search in.

Upper and lower case, the ways in which Unicode writes one character, white space and invisible characters make no
difference in it.
"""

import re
import unicodedata
from html import unescape

MAX_PART_LENGTH = 1024 * 1024  # characters that are looked at of one part, so that no mail makes a search slow
_INLINE = frozenset(
    {
        "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
        "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
    }
)  # fmt: skip
"""Elements that do not part the words around them."""
_MARKUP = re.compile(
    r"<!--(?:-?>|.*?(?:-->|\Z))"
    r"|<(head|style|script|title|template)\b.*?(?:</\1\s*>|(?=<body\b)|\Z)"
    r"|</?([a-z!?][^\s/<>]*+)[^<>]*+>",
    re.IGNORECASE | re.DOTALL,
)
"""A comment, an element that nobody sees, or a tag. Each takes linear time, whatever is left open."""
_INVISIBLE = re.compile("[\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufeff]")
"""Characters that nobody sees: soft hyphens, and those with which newsletters pad their preheader."""


def fold_text(text: str) -> str:
    """The text without the differences that a search ignores, on one line."""
    compatible = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFKC", compatible)).split())


def extract_visible_text(html: str) -> str:
    """The text of HTML without its tags, with entities decoded."""
    return unescape(_MARKUP.sub(_gap, html[:MAX_PART_LENGTH]))


def strip_invisible(text: str) -> str:
    """The text without the characters that nobody sees."""
    return _INVISIBLE.sub("", text)


def _gap(markup: re.Match[str]) -> str:
    """What stands in the place of a piece of markup."""
    is_comment = markup[0].startswith("<!--")
    return "" if is_comment or (markup[2] or "").lower() in _INLINE else " "
