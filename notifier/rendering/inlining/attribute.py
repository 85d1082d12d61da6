"""The text of a `style` attribute: rules that move into a tag, around what its author wrote there."""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import tinycss2

from notifier.mail.css_parser import StyleDeclaration, read_declarations, serialize_css, write_declarations

_NUMBER: Final = r"(?:\d+(?:\.\d+)?|\.\d+)"
_LENGTH: Final = rf"(?:0|{_NUMBER}(?:px|em|rem|pt|%))"
_CERTAIN: Final = {
    **dict.fromkeys(("margin", "padding"), rf"{_LENGTH}(?:\s+{_LENGTH}){{0,3}}"),
    **dict.fromkeys(
        (
            *(f"{box}-{side}" for box in ("margin", "padding") for side in ("top", "right", "bottom", "left")),
            *("width", "height", "max-width", "min-width", "max-height", "min-height", "font-size", "text-indent"),
        ),
        _LENGTH,
    ),
    "line-height": rf"{_LENGTH}|{_NUMBER}|normal",
    "letter-spacing": rf"-?{_NUMBER}(?:px|em)|normal",
    "color": "#[0-9a-f]{3}(?:[0-9a-f]{3})?|black|white|inherit",
    "background-color": "#[0-9a-f]{3}(?:[0-9a-f]{3})?|black|white|transparent",
    "font-weight": "[1-9]00|normal|bold",
    "font-style": "normal|italic",
    "text-align": "left|right|center",
    "text-decoration": "none|underline",
    "vertical-align": "top|middle|bottom|baseline",
    "display": "none|block|inline|inline-block",
}
"""Property → values that every mail program takes, so that what they override need not be sent."""
_VALUES: Final = {name: re.compile(values, re.IGNORECASE) for name, values in _CERTAIN.items()}


def write_attribute(
    before: Sequence[StyleDeclaration], own: str, after: Sequence[StyleDeclaration], raised: frozenset[str]
) -> str:
    """The value of the attribute, escaped; `own` is the author's, whose groups in `raised` become important."""
    authored, _ = read_declarations(own)
    if raised:
        authored = tuple(replace(one, is_important=True) if one.group in raised else one for one in authored)
    if raised or (after and not _is_whole(own)):
        own = write_declarations(authored)
    overridden = {one.name for one in (*authored, *after) if _is_certain(one)}
    pieces = [write_declarations([*_needed(before, overridden)][::-1]), own.strip(), write_declarations(after)]
    last = next((piece for piece in reversed(pieces) if piece), "")
    return _escape(";".join(piece if piece is last else piece.rstrip("; ") for piece in pieces if piece))


def _is_whole(own: str) -> bool:
    """Whether all that begins in it also ends."""
    tokens = tinycss2.parse_component_value_list(own)
    return all(token.type != "error" for token in tokens) and serialize_css(tokens) == own


def _needed(declarations: Sequence[StyleDeclaration], overridden: set[str]) -> Iterator[StyleDeclaration]:
    """Those that may be seen, last first."""
    for one in reversed(declarations):
        if one.name not in overridden:
            yield one
        if _is_certain(one):
            overridden.add(one.name)


def _is_certain(one: StyleDeclaration) -> bool:
    values = _VALUES.get(one.name)
    return bool(values and values.fullmatch(one.value))


def _escape(text: str) -> str:
    """The text between double quotation marks; those in it become single ones, which some mail programs read better."""
    if "'" not in text:
        text = text.replace('"', "'")
    return html.escape(text, quote=False).replace('"', "&quot;")
