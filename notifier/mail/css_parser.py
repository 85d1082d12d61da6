"""The parser of CSS, over tinycss2: declarations, lists of selectors, and which of two selectors is more specific."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import tinycss2

_MAX_BRACKET_DEPTH: Final = 50
_BRACKET: Final = re.compile(r"[][(){}]")
_GROUPS: Final[dict[str, frozenset[str]]] = {
    "font": frozenset({"line-height"}),
    "size": frozenset({"width", "height", "inline-size", "block-size", "aspect-ratio"}),
    "limit": frozenset({"min-width", "min-height", "max-width", "max-height"}),
    "inset": frozenset({"top", "right", "bottom", "left"}),
    "wrap": frozenset({"white-space", "white-space-collapse", "overflow-wrap", "word-wrap", "text-wrap"}),
    "grid": frozenset({"gap", "row-gap", "column-gap", "columns", "column-width", "column-count"}),
    "align": frozenset({"align-content", "align-items", "align-self", "justify-content", "justify-items"}),
    "break": frozenset({"page-break-after", "page-break-before", "page-break-inside"}),
    "scheme": frozenset({"color-scheme", "supported-color-schemes"}),
    "baseline": frozenset({"vertical-align", "alignment-baseline", "baseline-shift", "baseline-source"}),
}
_GROUP_OF: Final = {name: group for group, names in _GROUPS.items() for name in names}
_PREFIXES: Final = {
    "text-wrap": "wrap", "text-decoration": "text-decoration", "min": "limit", "max": "limit", "column": "grid",
    "justify": "align", "place": "align", "page": "break",
}  # fmt: skip
_VENDOR: Final = re.compile(r"-(?:webkit|moz|ms|o)-")
_ESCAPE: Final = re.compile(r"\\(?:[0-9a-fA-F]{1,6}\s?|.)", re.DOTALL)
_OPAQUE: Final = re.compile(r"""\[[^\]]*\]|"[^"]*"|'[^']*'""")
_ARGUMENT: Final = re.compile(r"(:(?!(?:not|is|has|where)\()[-\w]+)\([^()]*\)", re.IGNORECASE)
_OLD_PSEUDO_ELEMENT: Final = re.compile(r"(?<!:):(?=(?:before|after|first-line|first-letter)(?![-\w]))", re.IGNORECASE)
_ID: Final = re.compile(r"#[-\w]")
_CLASS: Final = re.compile(r"\.[-\w]|\[\]|(?<!:):(?!not\(|is\(|has\(|where\()[-\w]", re.IGNORECASE)
_TYPE: Final = re.compile(r"(?<![-\w.#:\[\\])[a-zA-Z]|::[-\w]")

Specificity = tuple[int, int, int]
"""Ids; classes, attributes and pseudo-classes; types and pseudo-elements (Selectors Level 4 §17)."""


@dataclass(frozen=True, slots=True)
class StyleDeclaration:
    """One property with its value."""

    name: str
    value: str  # as written, without !important
    is_important: bool
    group: str  # two properties in different groups never say anything about the same thing


def read_declarations(content: Any) -> tuple[tuple[StyleDeclaration, ...], bool]:
    """Read the declarations of a rule or a `style` attribute, and whether there are rules among them."""
    nodes = tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
    declarations = tuple(
        StyleDeclaration(name, serialize_css(node.value).strip(), node.important, get_property_group(name))
        for node in nodes
        if node.type == "declaration"
        for name in (node.name if node.name.startswith("--") else node.lower_name,)
    )
    return declarations, any(node.type in ("qualified-rule", "at-rule") for node in nodes)


def write_declarations(declarations: Sequence[StyleDeclaration]) -> str:
    """Write declarations as text."""
    return ";".join(f"{item.name}:{item.value}{' !important' if item.is_important else ''}" for item in declarations)


def get_property_group(name: str) -> str:
    """Get the group of properties that can overrule each other."""
    if name.startswith("--"):
        return name
    name = _VENDOR.sub("", name, count=1) if name.startswith("-") else name
    if name in _GROUP_OF:
        return _GROUP_OF[name]
    first, _, rest = name.partition("-")
    if first == "text":
        first = f"text-{rest.partition('-')[0]}"
    return _PREFIXES.get(first, first)


def has_deep_brackets(css: str) -> bool:
    """Whether so many brackets are open at once that tinycss2 raises `RecursionError`."""
    depth = deepest = 0
    for sign in _BRACKET.findall(css):
        depth += 1 if sign in "([{" else -1
        deepest = max(depth, deepest)
    return deepest > _MAX_BRACKET_DEPTH


def split_selectors(prelude: Sequence[Any]) -> list[list[Any]]:
    """Split the tokens of a rule's prelude into selectors; commas within brackets stay."""
    selectors: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def count_specificity(selector: str) -> Specificity:
    """Count what a selector is made of."""
    plain = _ARGUMENT.sub(r"\1", _OPAQUE.sub("[]", _ESCAPE.sub("_", selector)))
    plain = _OLD_PSEUDO_ELEMENT.sub("::", plain)
    return len(_ID.findall(plain)), len(_CLASS.findall(plain)), len(_TYPE.findall(plain))


def serialize_css(tokens: Any) -> str:
    """Write tokens as they were read."""
    return str(tinycss2.serialize(tokens))
