"""The parser of CSS, over tinycss2: declarations, selectors, and which of two selectors is more specific.

Of selectors only what is certain is parsed; a rule with any other selector stays where it stands.
"""

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
    """One CSS property with its value."""

    name: str
    value: str  # as written, without !important
    is_important: bool
    group: str  # properties of different groups never affect each other


def read_declarations(content: Any) -> tuple[tuple[StyleDeclaration, ...], bool]:
    """Read the declarations of a rule or a `style` attribute, and whether it contains nested rules."""
    nodes = tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True)
    declarations = tuple(
        StyleDeclaration(name, serialize_css(node.value).strip(), node.important, get_property_group(name))
        for node in nodes
        if node.type == "declaration"
        for name in (node.name if node.name.startswith("--") else node.lower_name,)
    )
    return declarations, any(node.type in ("qualified-rule", "at-rule") for node in nodes)


def write_declarations(declarations: Sequence[StyleDeclaration]) -> str:
    """Write declarations as CSS text."""
    return ";".join(f"{item.name}:{item.value}{' !important' if item.is_important else ''}" for item in declarations)


def get_property_group(name: str) -> str:
    """Get the group of a property; only properties of one group can overrule each other."""
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
    """Whether brackets are nested so deep that tinycss2 raises `RecursionError`."""
    depth = deepest = 0
    for sign in _BRACKET.findall(css):
        depth += 1 if sign in "([{" else -1
        deepest = max(depth, deepest)
    return deepest > _MAX_BRACKET_DEPTH


def split_selectors(prelude: Sequence[Any]) -> list[list[Any]]:
    """Split the tokens of a rule's prelude into selectors; commas inside brackets do not split."""
    selectors: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def count_specificity(selector: str) -> Specificity:
    """Compute the specificity of a selector."""
    plain = _ARGUMENT.sub(r"\1", _OPAQUE.sub("[]", _ESCAPE.sub("_", selector)))
    plain = _OLD_PSEUDO_ELEMENT.sub("::", plain)
    return len(_ID.findall(plain)), len(_CLASS.findall(plain)), len(_TYPE.findall(plain))


def serialize_css(tokens: Any) -> str:
    """Write tokens as CSS text."""
    return str(tinycss2.serialize(tokens))


STRUCTURAL_PSEUDO_CLASSES: Final = frozenset(
    {"root", "empty", "first-child", "last-child", "only-child", "first-of-type", "last-of-type", "only-of-type"}
)
"""Pseudo-classes that depend on the document alone, and that css-inline matches as browsers do."""
_NTH: Final = frozenset({"nth-child", "nth-last-child", "nth-of-type", "nth-last-of-type"})
_CHANGING_PSEUDO_CLASSES: Final = frozenset(
    {
        "hover", "active", "focus", "focus-within", "focus-visible", "link", "visited", "any-link", "target", "checked",
        "disabled", "enabled", "lang", "dir", "required", "optional", "read-only", "read-write", "default",
    }
)  # fmt: skip
"""Pseudo-classes that depend on the reader, or that css-inline does not know."""
_PSEUDO_ELEMENTS: Final = frozenset(
    {"before", "after", "first-line", "first-letter", "selection", "marker", "placeholder", "backdrop"}
)
_OLD_PSEUDO_ELEMENTS: Final = frozenset({"before", "after", "first-line", "first-letter"})  # also with one colon
_COMBINATORS: Final = frozenset({">", "+", "~"})
_STEP = re.compile(r"\s*(?:odd|even|[+-]?\d+|[+-]?\d*n(?:\s*[+-]\s*\d+)?)\s*", re.IGNORECASE)
_ATTRIBUTE_TEST = re.compile(
    r"""\s*[\w-]+\s*(?:[~|^$*]?=\s*(?:[\w-]+|"[^"\\]*"|'[^'\\]*')\s*(?:\bi\s*)?)?""", re.IGNORECASE
)
_OWN_STYLE = re.compile(r"""\s*style\s*\*=\s*(?:"[^"]*[\w-]: [^"]*"|'[^']*[\w-]: [^']*')\s*""", re.IGNORECASE)
"""Part of a style as only people write it: the inliner writes no blank behind a colon."""


@dataclass(frozen=True, slots=True)
class CssSelector:
    """One selector of a rule: what it selects, and whether that depends on the reader."""

    text: str
    specificity: Specificity
    is_static: bool  # the same elements whatever the reader does
    is_box: bool  # a box of its own, such as ::before
    subject: str  # what it selects, as far as type, id and classes say
    attributes: frozenset[str]  # names of those that it asks for, besides class and id as .a and #a
    names: frozenset[str]  # types, and classes and ids with their . or #
    is_upset: bool  # it may select other elements when style attributes are added


class _UnsupportedSelectorError(Exception):
    pass


def parse_selectors(prelude: list[Any]) -> list[CssSelector] | None:
    """Parse the selectors of a rule; None if one is not understood, as a browser drops the whole rule then."""
    try:
        return [_SelectorParser(tokens).parse() for tokens in split_selectors(prelude)]
    except _UnsupportedSelectorError:
        return None


class _SelectorParser:
    def __init__(self, tokens: list[Any]) -> None:
        self._tokens = [token for token in tokens if token.type != "comment"]
        if len(self._tokens) != len(tokens):
            raise _UnsupportedSelectorError  # a comment may join or part what stands around it
        self._is_static = True
        self._is_box = False
        self._attributes: set[str] = set()
        self._names: set[str] = set()
        self._is_upset = False
        self._compound: list[str] = []  # type, id and classes
        self._has_compound = False

    def parse(self) -> CssSelector:
        tokens = self._tokens
        while tokens and tokens[-1].type == "whitespace":
            tokens.pop()
        place = 0
        while place < len(tokens):
            place = self._take_part(place)
        if not self._has_compound:
            raise _UnsupportedSelectorError
        text = _serialize_tokens(tokens).strip()
        return CssSelector(
            text=text,
            specificity=count_specificity(text),
            is_static=self._is_static and not self._is_box,
            is_box=self._is_box,
            subject="".join(self._compound) or "*",
            attributes=frozenset(self._attributes),
            names=frozenset(self._names),
            is_upset=self._is_upset,
        )

    def _take_part(self, place: int) -> int:
        """Read one part. Returns the index behind it."""
        token = self._tokens[place]
        if token.type == "whitespace" or (token.type == "literal" and token.value in _COMBINATORS):
            return self._take_combinator(place)
        if self._is_box:
            raise _UnsupportedSelectorError  # nothing that is read here may follow a pseudo-element
        if token.type == "literal" and token.value == ":":
            place = self._take_pseudo(place + 1)
        elif token.type == "literal" and token.value == ".":
            place += 1
            self._add_name(f".{self._read_name(place)}")
        elif token.type == "hash" and token.is_identifier:
            self._add_name(_serialize_tokens([token]))
        elif token.type == "[] block":
            self._take_attribute(token)
        elif not self._has_compound and token.type == "ident":
            self._add_name(_serialize_tokens([token]).lower())
        elif self._has_compound or token.type != "literal" or token.value != "*":
            raise _UnsupportedSelectorError
        self._has_compound = True
        return place + 1

    def _take_combinator(self, place: int) -> int:
        signs = 0
        is_first = place == 0
        while place < len(self._tokens) and (token := self._tokens[place]).type in ("whitespace", "literal"):
            if token.type == "literal":
                if token.value not in _COMBINATORS:
                    break
                signs += 1
            place += 1
        if signs > 1 or (is_first and signs) or (not is_first and not self._has_compound) or self._is_box:
            raise _UnsupportedSelectorError
        self._has_compound, self._compound = False, []
        return place

    def _add_name(self, text: str) -> None:
        self._compound.append(text)
        self._names.add(text)

    def _read_name(self, place: int) -> str:
        if place >= len(self._tokens) or self._tokens[place].type != "ident":
            raise _UnsupportedSelectorError
        return _serialize_tokens([self._tokens[place]])

    def _take_attribute(self, token: Any) -> None:
        text = _serialize_tokens(token.content)
        if not _ATTRIBUTE_TEST.fullmatch(text):
            raise _UnsupportedSelectorError
        self._attributes |= {name.lower() for name in re.findall(r"^\s*([\w-]+)", text)}
        self._is_static &= "," not in text and "style" not in self._attributes  # css-inline parts selectors at commas
        self._is_upset |= "style" in self._attributes and not _OWN_STYLE.fullmatch(text)

    def _take_pseudo(self, place: int) -> int:
        is_box = place < len(self._tokens) and self._tokens[place] == ":"
        place += is_box
        token = self._tokens[place] if place < len(self._tokens) else None
        if token is not None and token.type == "function" and not is_box:
            self._take_function(token)
            return place
        name = self._read_name(place).lower()
        if is_box or name in _OLD_PSEUDO_ELEMENTS:
            if name not in _PSEUDO_ELEMENTS and not name.startswith("-webkit-"):
                raise _UnsupportedSelectorError
            self._is_box = True
        elif name in STRUCTURAL_PSEUDO_CLASSES or name in _CHANGING_PSEUDO_CLASSES:
            self._is_static &= name in STRUCTURAL_PSEUDO_CLASSES
        else:
            raise _UnsupportedSelectorError
        return place

    def _take_function(self, token: Any) -> None:
        name = token.lower_name
        if name == "not":
            inner = _SelectorParser(list(token.arguments)).parse()
            if inner.is_box or any(argument.type == "whitespace" for argument in token.arguments):
                raise _UnsupportedSelectorError
            self._is_static &= inner.is_static
            self._attributes |= inner.attributes
            self._names |= inner.names
            self._is_upset |= inner.is_upset
        elif name in _CHANGING_PSEUDO_CLASSES or (name in _NTH and _STEP.fullmatch(_serialize_tokens(token.arguments))):
            self._is_static &= name in _NTH
        else:
            raise _UnsupportedSelectorError


def _serialize_tokens(tokens: list[Any]) -> str:
    return serialize_css(tokens).replace("/**/", "")  # tinycss2 writes it between 2n and +1
