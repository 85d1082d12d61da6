"""A mail taken apart into tags and what stands between, so that nothing of it need be written anew but some tags.

It finds tags as browsers do (WHATWG HTML §13.2.5), but for errors: whoever uses it checks what a real parser found.
"""

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from notifier.mail.html_tree import ELEMENTS_WITHOUT_END
from notifier.mail.inlining.stylesheet import StyleProfile, has_deep_brackets, read_profile

_ATTRIBUTES: Final = r"""(?:[^<>"'=]+|=\s*"[^"]*"|=\s*'[^']*'|=|["'])*+"""
_RAW: Final = ("style", "script", "title", "textarea", "iframe", "xmp", "noembed", "noframes")
"""Elements that hold text and no tags."""
_NOT_COUNTED: Final = ELEMENTS_WITHOUT_END | {*_RAW}
MARKUP_PATTERN: Final = re.compile(
    r"(<(?:/[^>]*+(?:>|\Z)"
    r"|!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|[!?][^>]*+(?:>|\Z)"
    + "".join(rf"|(?i:{name})(?=[\s/>]){_ATTRIBUTES}>.*?(?:</(?i:{name})(?=[\s/>])[^>]*+(?:>|\Z)|\Z)" for name in _RAW)
    + rf"|[a-zA-Z]{_ATTRIBUTES}>))",
    re.DOTALL,
)
"""Splits a mail: text, markup, text, markup, …, text. An element of text alone is one piece."""
STYLE_TAG_PATTERN: Final = re.compile(rf"<(?i:style)(?=[\s/>]){_ATTRIBUTES}>")
_TAG = re.compile(rf"<(?P<name>[a-zA-Z][^\s/>]*)(?P<rest>{_ATTRIBUTES})>")
_ATTRIBUTE = re.compile(r"""(?P<name>[^\s/>=][^\s/>=]*)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s>"'][^\s>]*))?""")
_CONDITION = re.compile(r"<!(?:--)?(?:<!)?\[", re.DOTALL)
_AMBIGUOUS_ELEMENTS: Final = frozenset({"svg", "math", "noscript", "template", "plaintext", "frameset"})
"""What mail programs read otherwise than the parser."""
INVISIBLE_ELEMENTS: Final = frozenset({"head", "meta", "title", "link", "base", "style", "script", "basefont"})
"""What is never shown, and needs no style."""
_UNIVERSAL_MEDIA: Final = frozenset({"", "all", "screen"})
_MAX_CACHED_CHARACTERS: Final = 1_000_000
"""Characters of markup that are remembered."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MarkupToken:
    """A piece of markup."""

    name: str  # of a start tag, in lower case; empty for anything else
    shape: str  # what it says about structure and styles; the same for tags that differ in addresses and the like
    insertion_point: int = 0  # where another attribute can be written
    style_span: tuple[int, int] | None = None  # the place of the style attribute, name and all
    own_style: str = ""  # what that says
    attributes: Mapping[str, str] = field(default_factory=dict)
    profile: StyleProfile = frozenset()
    css_span: tuple[int, int] | None = None  # the place of a stylesheet's text
    is_for_all: bool = True  # its rules apply whatever screen there is
    is_linked: bool = False  # `<link>` to a stylesheet
    is_unsure: bool = False  # it is not certain how it is read
    begins_condition: bool | None = (
        None  # what follows is for some mail programs only; None: it says nothing about that
    )


class _TokenCache(dict[str, MarkupToken]):
    """Pieces of markup that have been read: the same ones come again in every mail."""

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
    """What each piece of markup is."""
    return [*map(_TOKEN_CACHE.__getitem__, markup)]


def measure_depth(tokens: Iterable[MarkupToken]) -> int:
    """How many elements stand within each other at most, those that may lack an end tag not counted."""
    depth = deepest = 0
    for token in tokens:
        if token.name and token.name not in _NOT_COUNTED:
            depth += 1
            deepest = max(deepest, depth)
        elif token.shape.startswith("</") and token.shape[2:-1].strip() not in _NOT_COUNTED:
            depth = max(0, depth - 1)
    return deepest


def _read_token(text: str) -> MarkupToken:
    tag = _TAG.match(text)
    if tag is None:
        return _read_other_markup(text)
    name = tag["name"].lower()
    attributes, styles = _read_attributes(tag)
    is_deep_style = has_deep_brackets(attributes.get("style", ""))
    own = "" if is_deep_style else attributes.get("style", "")
    profile = read_profile(own)
    says = [attributes.get(one, "") for one in ("class", "id", "type")]
    is_linked = name == "link" and "stylesheet" in attributes.get("rel", "").lower().split()
    token = MarkupToken(
        name=name,
        shape="\0".join(
            (name, *says, str(is_linked), *(f"{group} {important}" for group, important in sorted(profile)))
        ),
        insertion_point=_find_insertion_point(tag),
        style_span=styles[0] if styles else None,
        own_style=own,
        attributes=attributes,
        profile=profile,
        is_linked=is_linked,
        is_unsure=is_deep_style
        or len(styles) > 1
        or name in _AMBIGUOUS_ELEMENTS
        or "data-css-inline" in attributes
        or (name in _RAW and not _has_end_tag(text, name)),
    )
    if name == "style":
        is_css = attributes.get("type", "").strip().lower() in ("", "text/css")
        media = attributes.get("media", "").strip().lower()
        return replace(
            token,
            shape=text,
            css_span=(tag.end(), text.rindex("</")) if is_css and not token.is_unsure else None,
            is_for_all=media in _UNIVERSAL_MEDIA and not attributes.get("title"),
        )
    return token


def _has_end_tag(text: str, name: str) -> bool:
    return text.endswith(">") and text.lower().rfind(f"</{name}") > 0


def _read_other_markup(text: str) -> MarkupToken:
    """A closing tag, a comment, a document type."""
    if _CONDITION.match(text):
        begins = text.lower().startswith(("<!--[if", "<![if")) and "[endif]" not in text.lower()
        return MarkupToken(name="", shape=f"<![{begins}", begins_condition=begins)
    return MarkupToken(name="", shape="<!--" if text.startswith("<!--") else text.lower())


def _read_attributes(tag: re.Match[str]) -> tuple[dict[str, str], list[tuple[int, int]]]:
    """The attributes of a tag, of two with the same name the first; and the places of its style."""
    attributes: dict[str, str] = {}
    styles = []
    start = tag.start("rest")
    for one in _ATTRIBUTE.finditer(tag["rest"]):
        name = one["name"].lower()
        if name == "style":
            styles.append((start + one.start(), start + one.end()))
        value = one["value"] or ""
        attributes.setdefault(name, html.unescape(value[1:-1] if value[:1] in ("'", '"') else value))
    return attributes, styles


def _find_insertion_point(tag: re.Match[str]) -> int:
    rest = tag["rest"]
    if rest.endswith("/") and (len(rest) == 1 or rest[-2] in " \t\r\n\"'"):
        rest = rest[:-1]  # <br />
    return tag.start("rest") + len(rest.rstrip())
