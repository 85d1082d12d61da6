"""The words that stand for elements without text of their own: images and form controls."""

from collections.abc import Mapping
from typing import Final

from selectolax.lexbor import LexborNode

_WORDLESS_INPUTS: Final = frozenset({"hidden", "checkbox", "radio", "password", "file", "color", "range"})


def read_replaced_words(node: LexborNode, tag: str, attributes: Mapping[str, str | None]) -> list[str]:
    """The words of an `img`, `select` or `input`, each with a box of its own; none are an empty text or no item."""
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
    """The whole number in an attribute."""
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
