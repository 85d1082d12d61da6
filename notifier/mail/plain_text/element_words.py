"""The words that stand for list markers, images, form controls and the addresses of links."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from selectolax.lexbor import LexborNode

BULLET: Final = "* "
MAX_ROMAN: Final = 3999
_LETTERS: Final = 26
_KINDS: Final = {
    "a": "alpha", "lower-alpha": "alpha", "lower-latin": "alpha", "A": "ALPHA", "upper-alpha": "ALPHA",
    "upper-latin": "ALPHA", "i": "roman", "lower-roman": "roman", "I": "ROMAN", "upper-roman": "ROMAN",
}  # fmt: skip
_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_WORDLESS_INPUTS: Final = frozenset({"hidden", "checkbox", "radio", "password", "file", "color", "range"})


def format_list_marker(number: int, kind: str) -> str:
    """Format the marker of an item of `<ol>`; `kind` is the list's `type`, or its `list-style-type`."""
    name = _KINDS.get(kind, "")
    word = str(number)
    if name.lower() == "alpha" and number > 0:
        word = _format_letters(number)
    elif name.lower() == "roman" and 0 < number <= MAX_ROMAN:
        word = _format_roman(number)
    return f"{word.upper() if name.isupper() else word}. "


def _format_letters(number: int) -> str:
    word = ""
    while number:
        number, letter = divmod(number - 1, _LETTERS)
        word = chr(ord("a") + letter) + word
    return word


def _format_roman(number: int) -> str:
    word = ""
    for value, numeral in _ROMAN:
        count, number = divmod(number, value)
        word += numeral * count
    return word


def read_replaced_words(node: LexborNode, tag: str, attributes: Mapping[str, str | None]) -> list[str]:
    """Read the words of an `img`, `select` or `input`, each with a box of its own."""
    if tag == "img":
        return [attributes.get("alt") or ""]
    if tag == "select":
        return [option.text() for option in _find_shown_options(node, attributes)]
    if (attributes.get("type") or "text").lower() in _WORDLESS_INPUTS:
        return []
    return [attributes.get("value") or attributes.get("alt") or attributes.get("placeholder") or ""]


def is_tracking_pixel(attributes: Mapping[str, str | None]) -> bool:
    """Whether an image is too small to be seen, like those that report opening."""
    return attributes.get("width") in ("0", "1") or attributes.get("height") in ("0", "1")


def read_integer(text: str | None, default: int) -> int:
    """Read a whole number from an attribute."""
    try:
        return int(text or "")
    except ValueError:
        return default


def _find_shown_options(select: LexborNode, attributes: Mapping[str, str | None]) -> list[LexborNode]:
    """All options of a list box, and the chosen one of a drop-down box."""
    options = select.css("option")
    if "multiple" in attributes or read_integer(attributes.get("size"), 1) > 1:
        return options
    return (select.css("option[selected]") or options)[:1]


_LINE_ENDS: Final = re.compile(r"[\t\n\r]")  # a browser drops them from an address (URL Standard §4.4)
_NOT_IN_ADDRESSES: Final = str.maketrans({sign: f"%{ord(sign):02X}" for sign in ' "<>'})
_LEADS_NOWHERE: Final = re.compile(r"#|(?:javascript|vbscript|data|about|cid):", re.IGNORECASE)
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_PERSONAL: Final = re.compile(r"(?:mailto|tel|sms):", re.IGNORECASE)
_TELEPHONE_BLANKS: Final = re.compile(r"[\s().\u2010-\u2013/-]")


def clean_address(href: str) -> str:
    """Clean the address of a link; empty if it is no use in a text."""
    address = _LINE_ENDS.sub("", href.strip(" \t\n\r\f\0")).translate(_NOT_IN_ADDRESSES)
    return "" if _LEADS_NOWHERE.match(address) else address


def get_link_text(words: str, address: str) -> str | None:
    """Get the text for a link whose words are its address; None if the words say something else.

    A web address is written with its scheme, so that it can be followed; mail addresses and telephones stay.
    """
    if _normalise_for_comparison(words) != _normalise_for_comparison(address):
        return None
    return words if _PERSONAL.match(address) else address


def _normalise_for_comparison(text: str) -> str:
    if _PERSONAL.match(text) or "@" in text or text.startswith("+"):
        person = unquote(_PERSONAL.sub("", text, count=1)).casefold()
        return person if "@" in person else _TELEPHONE_BLANKS.sub("", person)
    return _WEB.sub("", text, count=1).casefold().removesuffix("/")
