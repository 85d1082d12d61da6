"""Compares the words and addresses that a real browser shows of a mail with a text part."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.browser import BrowserWindow

WIDTH: Final = 1024  # CSS pixels: a desktop, as docs/templates.md says
_SCRIPT: Final = (Path(__file__).parent / "visible_words.js").read_text()
_DECORATION: Final = re.compile(r"(?:\*|-?\d+\.|[a-zA-Z]{1,5}\.|>|---|[“”])")
_NOWHERE: Final = re.compile(r"#|javascript:|data:", re.IGNORECASE)
_RAISED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


@dataclass(frozen=True)
class Expected:
    """A word or address that must come next in a text part."""

    texts: tuple[str, ...]  # any of these
    is_apart: bool  # between it and the item before


def visible_items(window: BrowserWindow, html: str) -> list[Expected]:
    """The items that a light desktop browser shows of a document."""
    window.load(html)
    window.set_view(WIDTH, "light")
    return _expected(window.run_script(_SCRIPT))


def differences(expected: list[Expected], text: str) -> list[str]:
    """The first difference between the text part and the browser's items."""
    place, text = 0, text.translate(_RAISED)
    for item in expected:
        start = place
        place = _skip_blanks(text, place)
        while not text.startswith(item.texts, place):
            if not (decoration := _DECORATION.match(text, place)):
                return [f"expected {item.texts[0]!r}, but the text goes on with {text[place : place + 60]!r}"]
            place = _skip_blanks(text, decoration.end())
        if item.is_apart and place and place == start:
            return [f"{item.texts[0]!r} is glued to {text[max(0, place - 30) : place]!r}"]
        place += max(len(choice) for choice in item.texts if text.startswith(choice, place))
    rest = _DECORATION.sub("", text[place:]).strip()
    return [f"the text goes on with {rest[:60]!r}, which nobody sees"] if rest else []


def _skip_blanks(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _expected(items: list[Any]) -> list[Expected]:
    """The words, and after a link's words its address unless it equals them or is invisible."""
    expected: list[Expected] = []
    starts: list[tuple[int, int]] = []
    images = 0
    for kind, text, is_apart in items:
        if kind == "word":
            expected.append(Expected((text,), is_apart))
        elif kind == "image":
            images += 1
        elif kind == "link":
            starts.append((len(expected), images))
        else:
            start, images_before = starts.pop()
            _end_link(expected, start, re.sub(r"[\t\n\r]", "", text.strip()), has_image=images > images_before)
    return expected


def _end_link(expected: list[Expected], start: int, address: str, *, has_image: bool) -> None:
    words = [item.texts[0] for item in expected[start:]]
    if _NOWHERE.match(address) or not (words or has_image):
        return
    address = address.replace(" ", "%20").replace('"', "%22")
    if _bare(" ".join(words)) == _bare(address) and words:
        expected[start:] = [Expected((address, " ".join(words)), expected[start].is_apart)]
    elif address not in words:
        expected.append(Expected((f"<{address}>",), True))  # noqa: FBT003 - beside its name


def _bare(address: str) -> str:
    bare = re.sub(r"^(?:https?://|mailto:|tel:)", "", address.strip().casefold()).removesuffix("/")
    return re.sub(r"[\s()./-]", "", bare) if re.fullmatch(r"[+\d\s()./-]+", bare) else bare
