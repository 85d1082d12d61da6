"""One CSS selector of the inliner: whether it selects the same elements at all times, and what it is about.

Only what is certain is parsed; for everything else there is no selector, and the rule is left where it stands.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

from notifier.mail.css_parser import Specificity, count_specificity, serialize_css, split_selectors

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
_ATTRIBUTE = re.compile(r"""\s*[\w-]+\s*(?:[~|^$*]?=\s*(?:[\w-]+|"[^"\\]*"|'[^'\\]*')\s*(?:\bi\s*)?)?""", re.IGNORECASE)
_OWN_STYLE = re.compile(r"""\s*style\s*\*=\s*(?:"[^"]*[\w-]: [^"]*"|'[^']*[\w-]: [^']*')\s*""", re.IGNORECASE)
"""Part of a style as only people write it: the inliner writes no blank behind a colon."""


@dataclass(frozen=True, slots=True)
class CssSelector:
    """What a selector of a rule selects."""

    text: str
    specificity: Specificity
    is_static: bool  # the same elements whatever the reader does
    is_box: bool  # a box of its own, such as ::before
    subject: str  # what it selects, as far as type, id and classes say
    attributes: frozenset[str]  # names of those that it asks for, besides class and id as .a and #a
    names: frozenset[str]  # types, and classes and ids with their . or #
    is_upset: bool  # it could select others once there are more style attributes


class _UnsupportedSelectorError(Exception):
    """A selector that is not understood."""


def parse_selectors(prelude: list[Any]) -> list[CssSelector] | None:
    """Parse the selectors of a rule; None if one is not understood: a browser drops a rule with an invalid one."""
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
        """Read what begins at a place; returns the place behind it."""
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
        if not _ATTRIBUTE.fullmatch(text):
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
