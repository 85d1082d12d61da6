"""A mail taken apart into tags and what stands between, so that nothing of it need be written anew but some tags.

It finds tags as browsers do (WHATWG HTML §13.2.5), but for errors: whoever uses it checks what a real parser found.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from notifier.mail.css_parser import has_deep_brackets
from notifier.mail.html_reader import OPTIONAL_END_ELEMENTS, RAW_TEXT_ELEMENTS, StartTag, read_start_tag
from notifier.rendering.inlining.stylesheet import Profile, read_profile

_NOT_COUNTED: Final = OPTIONAL_END_ELEMENTS | {*RAW_TEXT_ELEMENTS}
_CONDITION = re.compile(r"<!(?:--)?(?:<!)?\[", re.DOTALL)
_FOREIGN: Final = frozenset({"svg", "math", "noscript", "template", "plaintext", "frameset"})
"""What mail programs read otherwise than the parser."""
INVISIBLE: Final = frozenset({"head", "meta", "title", "link", "base", "style", "script", "basefont"})
"""What is never shown, and needs no style."""
_FOR_ALL: Final = frozenset({"", "all", "screen"})
_MOST_KEPT: Final = 1_000_000
"""Characters of markup that are remembered."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Token:
    """A piece of markup."""

    name: str  # of a start tag, in lower case; empty for anything else
    shape: str  # what it says about structure and styles; the same for tags that differ in addresses and the like
    end: int = 0  # where another attribute can be written
    style: tuple[int, int] | None = None  # the place of the style attribute, name and all
    own: str = ""  # what that says
    attributes: Mapping[str, str] = field(default_factory=dict)
    profile: Profile = frozenset()
    css: tuple[int, int] | None = None  # the place of a stylesheet's text
    is_for_all: bool = True  # its rules apply whatever screen there is
    is_linked: bool = False  # `<link>` to a stylesheet
    is_unsure: bool = False  # it is not certain how it is read
    begins_condition: bool | None = (
        None  # what follows is for some mail programs only; None: it says nothing about that
    )


class _Tokens(dict[str, Token]):
    """Pieces of markup that have been read: the same ones come again in every mail."""

    _size = 0

    def __missing__(self, text: str) -> Token:
        self._size += len(text)
        if self._size > _MOST_KEPT:
            self.clear()
            self._size = len(text)
        token = self[text] = _read(text)
        return token


_TOKENS: Final = _Tokens()


def read_tokens(markup: Iterable[str]) -> list[Token]:
    """What each piece of markup is."""
    return [*map(_TOKENS.__getitem__, markup)]


def find_depth(tokens: Iterable[Token]) -> int:
    """How many elements stand within each other at most, those that may lack an end tag not counted."""
    depth = deepest = 0
    for token in tokens:
        if token.name and token.name not in _NOT_COUNTED:
            depth += 1
            deepest = max(deepest, depth)
        elif token.shape.startswith("</") and token.shape[2:-1].strip() not in _NOT_COUNTED:
            depth = max(0, depth - 1)
    return deepest


def _read(text: str) -> Token:
    tag = read_start_tag(text)
    if tag is None:
        return _other(text)
    name, attributes = tag.name, tag.values
    styles = [(attribute.start, attribute.end) for attribute in tag.attributes if attribute.name == "style"]
    is_deep_style = has_deep_brackets(attributes.get("style", ""))
    own = "" if is_deep_style else attributes.get("style", "")
    profile = read_profile(own)
    says = [attributes.get(key, "") for key in ("class", "id", "type")]
    is_linked = name == "link" and "stylesheet" in attributes.get("rel", "").lower().split()
    token = Token(
        name=name,
        shape="\0".join(
            (name, *says, str(is_linked), *(f"{group} {important}" for group, important in sorted(profile)))
        ),
        end=_end(text, tag),
        style=styles[0] if styles else None,
        own=own,
        attributes=attributes,
        profile=profile,
        is_linked=is_linked,
        is_unsure=is_deep_style
        or len(styles) > 1
        or name in _FOREIGN
        or "data-css-inline" in attributes
        or (name in RAW_TEXT_ELEMENTS and not _is_closed(text, name)),
    )
    if name == "style":
        is_css = attributes.get("type", "").strip().lower() in ("", "text/css")
        media = attributes.get("media", "").strip().lower()
        return replace(
            token,
            shape=text,
            css=(tag.end, text.rindex("</")) if is_css and not token.is_unsure else None,
            is_for_all=media in _FOR_ALL and not attributes.get("title"),
        )
    return token


def _is_closed(text: str, name: str) -> bool:
    return text.endswith(">") and text.lower().rfind(f"</{name}") > 0


def _other(text: str) -> Token:
    """A closing tag, a comment, a document type."""
    if _CONDITION.match(text):
        begins = text.lower().startswith(("<!--[if", "<![if")) and "[endif]" not in text.lower()
        return Token(name="", shape=f"<![{begins}", begins_condition=begins)
    return Token(name="", shape="<!--" if text.startswith("<!--") else text.lower())


def _end(text: str, tag: StartTag) -> int:
    """Where another attribute can be written."""
    rest = text[tag.name_end : tag.end - 1]
    if rest.endswith("/") and (len(rest) == 1 or rest[-2] in " \t\r\n\"'"):
        rest = rest[:-1]  # <br />
    return tag.name_end + len(rest.rstrip())
