"""The element tree of a mail's HTML, as a browser builds it (selectolax, which wraps the HTML5 parser Lexbor).

Parsing takes bounded time for hostile input. Some of the steps that HTML5 prescribes are quadratic in the depth, in the
open formatting elements, or in a tag's attributes. What is over the limits below loses its tag, never its text.
"""

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser

from notifier.mail.html_reader import OPTIONAL_END_ELEMENTS

MIN_DEPTH: Final = 500  # elements within each other that any mail may have, those with an optional end tag not counted
MAX_OPEN_ELEMENT_STEPS: Final = 20_000_000  # open elements that all the tags of a mail may have to look through
MAX_REOPENED_ELEMENTS: Final = 100_000  # formatting elements that all the blocks of a mail may open again
MIN_FORMATTING_DEPTH: Final = 8  # open formatting elements that any mail may have
MAX_CLONED_CHARACTERS: Final = 20_000_000  # of formatting tags and links, if each tag of a mail opened them again
MIN_TAG_LIMIT: Final = 200  # characters of such a tag that may have attributes in any mail
MAX_ATTRIBUTES: Final = 1_000  # in one tag
MIN_LIMITED_TAGS: Final = 1_000  # tags; fewer are parsed without a limit
_FORMATTING: Final = frozenset(
    {"b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
)
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_MIN_LONG_TAG: Final = 5_000  # characters; a shorter one has not too many attributes
_LONG_TAG: Final = re.compile(rf"<[a-zA-Z][^<>]{{{_MIN_LONG_TAG},}}")
_CLONED_TAG: Final = re.compile(
    rf"(<(?i:a|{'|'.join(sorted(_FORMATTING))}))(?=[\s/])(?:[^>\"'=]+|=\s*\"[^\"]*\"|=\s*'[^']*'|=|[\"'])*+>"
)
_QUOTED: Final = re.compile(r"\"[^\"]*\"|'[^']*'")
_ATTRIBUTE: Final = re.compile(r"[\s/\"][^\s/\"]")
_EMPTY_INLINE_TAG, _EMPTY_BLOCK_TAG = "wbr", "br"  # without content; the second one parts the words around it


def parse_html(html: str) -> LexborHTMLParser:
    """Parse a document or a fragment of one, however broken."""
    if len(html) > _MIN_LONG_TAG:
        html = _LONG_TAG.sub(_limit_attributes, html)
    tags = html.count("<")
    if tags * len(html) > MAX_CLONED_CHARACTERS:
        longest = max(MIN_TAG_LIMIT, MAX_CLONED_CHARACTERS // tags)
        html = _CLONED_TAG.sub(lambda tag: tag[0] if len(tag[0]) <= longest else f"{tag[1]}>", html)
    return LexborHTMLParser(html if tags < MIN_LIMITED_TAGS else _TAG.sub(_DepthLimit(tags).rename, html))


def _limit_attributes(tag: re.Match[str]) -> str:
    if len(_ATTRIBUTE.findall(_QUOTED.sub('""', tag[0]))) < MAX_ATTRIBUTES:
        return tag[0]
    return f"<{_EMPTY_INLINE_TAG} "


class _DepthLimit:
    """Renames the tags of what stands too deep, where Chromium lifts elements out of each other from 512 on."""

    def __init__(self, tags: int) -> None:
        self._max_depth = max(MIN_DEPTH, MAX_OPEN_ELEMENT_STEPS // tags)
        self._max_formatting = max(MIN_FORMATTING_DEPTH, MAX_REOPENED_ELEMENTS // tags)
        self._depth = 0
        self._formatting = 0

    def rename(self, tag: re.Match[str]) -> str:
        """The beginning of a tag, with another name if the element is over a limit."""
        name, step = tag[2].lower(), -1 if tag[1] else 1
        if name in OPTIONAL_END_ELEMENTS:
            return tag[0]
        if name in _FORMATTING:
            deepest = max(self._formatting, self._formatting + step)
            self._formatting = max(0, self._formatting + step)
            return tag[0] if deepest <= self._max_formatting else f"<{tag[1]}{_EMPTY_INLINE_TAG}"
        deepest = max(self._depth, self._depth + step)
        self._depth = max(0, self._depth + step)
        return tag[0] if deepest <= self._max_depth else f"<{tag[1]}{_EMPTY_BLOCK_TAG}"
