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
_SAFE_VALUES: Final = {
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
"""Property → values that every mail program knows, so that what they override need not be sent."""
_SAFE_VALUE_PATTERNS: Final = {name: re.compile(values, re.IGNORECASE) for name, values in _SAFE_VALUES.items()}


def write_style_attribute(
    before: Sequence[StyleDeclaration], own_style: str, after: Sequence[StyleDeclaration], raised: frozenset[str]
) -> str:
    """Write the value of the attribute, escaped; the author's groups in `raised` become important."""
    authored, _ = read_declarations(own_style)
    if raised:
        authored = tuple(replace(item, is_important=True) if item.group in raised else item for item in authored)
    if raised or (after and not _is_complete(own_style)):
        own_style = write_declarations(authored)
    overridden = {item.name for item in (*authored, *after) if _is_safe_value(item)}
    pieces = [
        write_declarations([*_drop_overridden(before, overridden)][::-1]),
        own_style.strip(),
        write_declarations(after),
    ]
    last = next((piece for piece in reversed(pieces) if piece), "")
    return _escape_attribute(";".join(piece if piece is last else piece.rstrip("; ") for piece in pieces if piece))


def _is_complete(style: str) -> bool:
    """Whether all that begins in it also ends."""
    tokens = tinycss2.parse_component_value_list(style)
    return all(token.type != "error" for token in tokens) and serialize_css(tokens) == style


def _drop_overridden(declarations: Sequence[StyleDeclaration], overridden: set[str]) -> Iterator[StyleDeclaration]:
    """The declarations that may be seen, last first."""
    for declaration in reversed(declarations):
        if declaration.name not in overridden:
            yield declaration
        if _is_safe_value(declaration):
            overridden.add(declaration.name)


def _is_safe_value(declaration: StyleDeclaration) -> bool:
    values = _SAFE_VALUE_PATTERNS.get(declaration.name)
    return bool(values and values.fullmatch(declaration.value))


def _escape_attribute(text: str) -> str:
    """The text between double quotation marks; those in it become single ones, which some mail programs read better."""
    if "'" not in text:
        text = text.replace('"', "'")
    return html.escape(text, quote=False).replace('"', "&quot;")
