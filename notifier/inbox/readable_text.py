"""The text that a person reads in a mail: decodes header fields, removes markup, and folds text for the search.

Nothing here raises, because an inbox must also show broken mail.
"""

import binascii
import re
import unicodedata
from email.utils import parseaddr
from html import unescape
from itertools import groupby

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
_ENCODED_WORD = re.compile(r"=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bqBQ])\?([^?]*)\?=")
_RUN_OF_WORDS = re.compile(r"(?:=\?[^?\s]+\?[bqBQ]\?[^?]*\?=)+")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t\r\n]+(?==\?)")
MAX_MAILBOX_LENGTH = 2_000
"""Characters of a From field that are parsed for its first mailbox."""
_FOLD = re.compile(r"\r?\n(?=[ \t])")


def fold_text(text: str) -> str:
    """Remove what a search ignores: case, Unicode forms of the same character, white space, invisible characters."""
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


def decode_header(value: str) -> str:
    """Unfold a field body and decode its encoded words (RFC 2047) and raw UTF-8 (RFC 6532)."""
    unfolded = _FOLD.sub("", value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _RUN_OF_WORDS.sub(lambda run: _decode_run(run.group()), _BETWEEN_WORDS.sub("", unfolded))


def parse_mailbox(value: str) -> tuple[str, str]:
    """Parse the display name and address of the first mailbox in a raw field body; empty texts if there is none."""
    try:
        name, address = parseaddr(_FOLD.sub("", value[:MAX_MAILBOX_LENGTH]))
    except RecursionError:  # nested comments
        return "", ""
    return decode_header(name), decode_header(address)


def _decode_run(run: str) -> str:
    """Decode adjacent words of one charset together: some senders split a character between two words."""
    words = _ENCODED_WORD.findall(run)
    return "".join(
        decode_bytes(b"".join(_decode_word(encoding, text) for _, encoding, text in group), charset)
        for charset, group in groupby(words, key=lambda word: str(word[0]).lower())
    )


def _decode_word(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(data, header=True)
    try:
        return binascii.a2b_base64(data + b"=" * (-len(data) % 4))
    except binascii.Error:
        return data


def decode_bytes(data: bytes, charset: str) -> str:
    """Decode bytes, with replacement characters where the charset is wrong or unknown."""
    try:
        text = data.decode(charset, "replace")
    except (LookupError, ValueError):
        text = data.decode("utf-8", "replace")
    # UTF-7 and others can produce lone surrogates, which UTF-8 cannot encode.
    return text.encode("utf-8", "replace").decode("utf-8")
