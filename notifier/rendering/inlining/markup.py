"""The tags and `<style>` elements of a mail with their places, so that nothing else of it need be written anew.

It finds tags as browsers do (WHATWG HTML §13.2.5), but for errors: whoever uses it checks what a real parser found.
"""

import html
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_ATTRIBUTES: Final = r"""(?:[^>"'=]+|=\s*"[^"]*"|=\s*'[^']*'|=|["'])*+"""
_MARKUP = re.compile(
    r"<(?:(?P<comment>!--(?:-?>|.*?(?:--!?>|\Z)))"
    r"|[!?/][^>]*>"
    rf"|(?P<raw>(?i:style|script|title|textarea|iframe|xmp|noembed|noframes))(?P<rest>(?=[\s/>]){_ATTRIBUTES})>"
    r"(?P<text>.*?)(?P<end></(?i:(?P=raw))(?=[\s/>])|\Z)"
    rf"|(?P<name>[a-zA-Z][^\s/>]*)(?P<more>{_ATTRIBUTES})>)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""(?P<name>[^\s/>=][^\s/>=]*)(?:\s*=\s*(?P<value>"[^"]*"|'[^']*'|[^\s>"'][^\s>]*))?""")
_FOREIGN: Final = frozenset({"svg", "math", "noscript", "template", "plaintext", "frameset"})
"""What a mail program reads otherwise than the parser."""
_INVISIBLE: Final = frozenset({"head", "meta", "title", "link", "base", "style", "script", "basefont"})
_FOR_ALL: Final = frozenset({"", "all", "screen"})


class Tag(NamedTuple):
    """A start tag."""

    end: int  # where another attribute can be written
    style: tuple[int, int] | None  # the place of its own style attribute, name and all
    own: str  # what that says
    is_visible: bool  # False for those that are never shown, and need no style


@dataclass(frozen=True, slots=True)
class StyleElement:
    """A `<style>` that is CSS."""

    start: int
    text_start: int
    text_end: int
    end: int
    css: str
    is_for_all: bool  # its rules apply whatever screen or mail program there is
    is_in_head: bool


@dataclass(kw_only=True)
class Markup:
    """All of a mail."""

    tags: list[Tag] = field(default_factory=list)
    styles: list[StyleElement] = field(default_factory=list)
    links: list[tuple[int, int]] = field(default_factory=list)  # places of `<link>`s to stylesheets


def read_markup(text: str) -> Markup | None:
    """The tags of a mail; None if it has something in it that is read in more than one way."""
    if "data-css-inline" in text:  # an order to the parser
        return None
    markup = Markup()
    is_in_head, is_conditional = True, False
    for found in _MARKUP.finditer(text):
        if name := found["name"]:
            name = name.lower()
            if name in _FOREIGN:
                return None
            is_visible = name not in _INVISIBLE
            is_in_head = is_in_head and (not is_visible or name == "html")
            if name == "link" and "stylesheet" in attributes_of(found["more"]).get("rel", "").lower().split():
                markup.links.append(found.span())
            markup.tags.append(_tag(found, "more", is_visible=is_visible))
        elif raw := found["raw"]:
            if not found["end"]:
                return None
            is_visible = raw.lower() not in _INVISIBLE
            is_in_head = is_in_head and not is_visible
            markup.tags.append(_tag(found, "rest", is_visible=is_visible))
            if raw.lower() == "style":
                _add_style(markup, found, is_in_head=is_in_head, is_conditional=is_conditional)
        elif found[0].startswith(("<!--[", "<!--<![", "<![")):
            is_conditional = _is_revealing(found[0].lower())
    return markup


def _is_revealing(comment: str) -> bool:
    """Whether what follows is for some mail programs only, though browsers show it."""
    return comment.startswith(("<!--[if", "<![if")) and "[endif]" not in comment


def _tag(found: re.Match[str], group: str, *, is_visible: bool) -> Tag:
    rest, (start, end) = found[group], found.span(group)
    if rest.endswith("/") and (len(rest) == 1 or rest[-2] in " \t\r\n\"'"):
        rest = rest[:-1]  # <br />
    end = start + len(rest.rstrip())
    if "style" in rest.lower():
        for one in _ATTRIBUTE.finditer(rest):
            if one["name"].lower() == "style":
                return Tag(end, (start + one.start(), start + one.end()), _value(one), is_visible)
    return Tag(end, None, "", is_visible)


def _add_style(markup: Markup, found: re.Match[str], *, is_in_head: bool, is_conditional: bool) -> None:
    attributes = attributes_of(found["rest"])
    if attributes.get("type", "").strip().lower() not in ("", "text/css"):
        return
    is_for_all = attributes.get("media", "").strip().lower() in _FOR_ALL and not attributes.get("title")
    end = found.string.find(">", found.end())
    markup.styles.append(
        StyleElement(
            start=found.start(),
            text_start=found.start("text"),
            text_end=found.end("text"),
            end=end + 1 if end >= 0 else len(found.string),
            css=found["text"],
            is_for_all=is_for_all and not is_conditional,
            is_in_head=is_in_head,
        )
    )


def attributes_of(rest: str) -> dict[str, str]:
    """The attributes of a tag; of two with the same name the first counts."""
    attributes: dict[str, str] = {}
    for one in _ATTRIBUTE.finditer(rest):
        attributes.setdefault(one["name"].lower(), _value(one))
    return attributes


def _value(attribute: re.Match[str]) -> str:
    value = attribute["value"] or ""
    return html.unescape(value[1:-1] if value[:1] in ("'", '"') else value)
