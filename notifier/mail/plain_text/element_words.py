"""The words that stand for what has no text of its own: list markers, images and form controls."""

from collections.abc import Mapping
from typing import Final

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
    """Whether an image is too small to be seen, as those that report opening are."""
    return attributes.get("width") in ("0", "1") or attributes.get("height") in ("0", "1")


def read_integer(text: str | None, default: int) -> int:
    """Read the whole number in an attribute."""
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
