"""The tags of a mail as the inliner needs them: their styles, classes and ids, and where a `style` can be written.

The tags are those that `html_reader` finds; the inliner compares them with those of a real parser.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from notifier.mail.css_parser import has_deep_brackets
from notifier.mail.html_reader import OPTIONAL_END_ELEMENTS, RAW_TEXT_ELEMENTS, StartTag, read_start_tag
from notifier.mail.inlining.stylesheet import StyleProfile, read_profile

_NOT_COUNTED: Final = OPTIONAL_END_ELEMENTS | {*RAW_TEXT_ELEMENTS}
_CONDITION = re.compile(r"<!(?:--)?(?:<!)?\[", re.DOTALL)
_AMBIGUOUS_ELEMENTS: Final = frozenset({"svg", "math", "noscript", "template", "plaintext", "frameset"})
"""Elements that mail programs read otherwise than the parser."""
INVISIBLE_ELEMENTS: Final = frozenset({"head", "meta", "title", "link", "base", "style", "script", "basefont"})
_UNIVERSAL_MEDIA: Final = frozenset({"", "all", "screen"})
_MAX_CACHED_CHARACTERS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MarkupToken:
    """A piece of markup."""

    name: str  # of a start tag, in lower case; empty for anything else
    shape: str  # its structure and styles; equal for tags that differ only in addresses and the like
    insertion_point: int = 0  # where another attribute can be written
    style_span: tuple[int, int] | None = None  # the place of the whole style attribute
    own_style: str = ""  # the value of the style attribute
    attributes: Mapping[str, str] = field(default_factory=dict)
    profile: StyleProfile = frozenset()
    css_span: tuple[int, int] | None = None  # the place of a stylesheet's text
    is_for_all: bool = True  # its rules apply to all screens
    is_linked: bool = False  # `<link>` to a stylesheet
    is_unsure: bool = False  # mail programs may read it in different ways
    begins_condition: bool | None = None  # True: what follows is for some mail programs only; None: no condition here


class _TokenCache(dict[str, MarkupToken]):
    """Reads pieces of markup and caches the tokens: the same pieces are in every mail."""

    _size = 0

    def __missing__(self, text: str) -> MarkupToken:
        self._size += len(text)
        if self._size > _MAX_CACHED_CHARACTERS:
            self.clear()
            self._size = len(text)
        token = self[text] = _read_token(text)
        return token


_TOKEN_CACHE: Final = _TokenCache()


def read_tokens(markup: Iterable[str]) -> list[MarkupToken]:
    """Read each piece of markup."""
    return [*map(_TOKEN_CACHE.__getitem__, markup)]


def measure_depth(tokens: Iterable[MarkupToken]) -> int:
    """Count how deep elements are nested at most, without those that may lack an end tag."""
    depth = deepest = 0
    for token in tokens:
        if token.name and token.name not in _NOT_COUNTED:
            depth += 1
            deepest = max(deepest, depth)
        elif token.shape.startswith("</") and token.shape[2:-1].strip() not in _NOT_COUNTED:
            depth = max(0, depth - 1)
    return deepest


def _read_token(text: str) -> MarkupToken:
    tag = read_start_tag(text)
    if tag is None:
        return _read_other_markup(text)
    name, attributes = tag.name, tag.values
    styles = [(attribute.start, attribute.end) for attribute in tag.attributes if attribute.name == "style"]
    has_deep_style = has_deep_brackets(attributes.get("style", ""))
    own_style = "" if has_deep_style else attributes.get("style", "")
    profile = read_profile(own_style)
    identity = [attributes.get(key, "") for key in ("class", "id", "type")]
    is_linked = name == "link" and "stylesheet" in attributes.get("rel", "").lower().split()
    token = MarkupToken(
        name=name,
        shape="\0".join(
            (name, *identity, str(is_linked), *(f"{group} {important}" for group, important in sorted(profile)))
        ),
        insertion_point=_find_insertion_point(text, tag),
        style_span=styles[0] if styles else None,
        own_style=own_style,
        attributes=attributes,
        profile=profile,
        is_linked=is_linked,
        is_unsure=has_deep_style
        or len(styles) > 1
        or name in _AMBIGUOUS_ELEMENTS
        or "data-css-inline" in attributes
        or (name in RAW_TEXT_ELEMENTS and not _has_end_tag(text, name)),
    )
    if name == "style":
        is_css = attributes.get("type", "").strip().lower() in ("", "text/css")
        media = attributes.get("media", "").strip().lower()
        return replace(
            token,
            shape=text,
            css_span=(tag.end, text.rindex("</")) if is_css and not token.is_unsure else None,
            is_for_all=media in _UNIVERSAL_MEDIA and not attributes.get("title"),
        )
    return token


def _has_end_tag(text: str, name: str) -> bool:
    return text.endswith(">") and text.lower().rfind(f"</{name}") > 0


def _read_other_markup(text: str) -> MarkupToken:
    """Read an end tag, a comment or a document type."""
    if _CONDITION.match(text):
        begins = text.lower().startswith(("<!--[if", "<![if")) and "[endif]" not in text.lower()
        return MarkupToken(name="", shape=f"<![{begins}", begins_condition=begins)
    return MarkupToken(name="", shape="<!--" if text.startswith("<!--") else text.lower())


def _find_insertion_point(text: str, tag: StartTag) -> int:
    rest = text[tag.name_end : tag.end - 1]
    if rest.endswith("/") and (len(rest) == 1 or rest[-2] in " \t\r\n\"'"):
        rest = rest[:-1]  # <br />
    return tag.name_end + len(rest.rstrip())
