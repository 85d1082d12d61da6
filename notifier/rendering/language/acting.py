"""Values where HTML acts on them: links, styles and attributes without quotes.

`contexts` puts these around whatever a template shows in such a place, so that it holds without its author's help:
a link leads somewhere, a style is one value, and an attribute ends where its author ended it. A value that cannot stand
there keeps its mail from being sent; versions published before that was so make it a dead link or nothing.
"""

import html
import re
from collections.abc import Sequence
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from notifier.rendering.language.filters import ValueRefusedError
from notifier.rendering.language.link_address import (
    ENDS,
    IMAGE_SCHEMES,
    LINK_SCHEMES,
    SCHEME,
    find_link_fault,
    is_harmless,
    is_usual,
    name_schemes,
)
from notifier.rendering.language.value_text import write_value

DEAD: Final = "#"
"""What stands in place of a link that must not live, in mails of versions that were published long ago."""
_ENDS_ENTRY = re.compile(r"\s|^,|,\Z")
_BARE = re.compile(r"[^A-Za-z0-9_.%-]")
_STYLE = re.compile(r"[^;{}\\<>\"'()@]*|(?:rgb|hsl)a?\([\d\s.,%/]*\)", re.IGNORECASE)
_ACTS_IN_STYLE = re.compile(r"/\*|\*/|^\s*(?!https?:)[a-z]+script\s*:|^\s*data\s*:", re.IGNORECASE)


@pass_context
def link(context: Context, value: Any, follows: str, image: bool) -> Any:  # noqa: FBT001 - only `contexts` calls it
    """The value, which begins a link, if somebody can follow that."""
    if type(value) is str and follows != SCHEME and is_usual(value):  # most are
        return value
    schemes = IMAGE_SCHEMES if image else _schemes_of(context)
    if _is_strict(context):
        take_link(value, follows, image=image, schemes=schemes)
        return value
    return value if is_harmless(_text_of(value), follows, schemes) else DEAD


def take_link(value: Any, follows: str = ENDS, *, image: bool = False, schemes: Sequence[str] = LINK_SCHEMES) -> None:
    """Raise `ValueRefusedError` if nobody can follow the link, or see the image, that begins with the value."""
    if type(value) is str and follows != SCHEME and is_usual(value):
        return
    text = "" if value is None else _text_of(value)
    schemes = IMAGE_SCHEMES if image else schemes
    if fault := find_link_fault(text, follows, schemes):
        raise _refused("src" if image else "href", value, schemes, fault)


def take_safe_url(value: Any, schemes: Sequence[str] = LINK_SCHEMES) -> str:
    """An absolute address, without blanks; raises `ValueRefusedError`."""
    text = value.strip() if isinstance(value, str) else ""
    fault = find_link_fault(text, ENDS, schemes)
    if fault is None and re.search(r"\s", text):
        fault = "there is a blank in it"
    if fault is not None:
        raise _refused("safe_url", value, schemes, fault)
    return text


def _refused(name: str, value: Any, schemes: Sequence[str], fault: str) -> ValueRefusedError:
    return ValueRefusedError(name, value, f"a whole address that begins with {name_schemes(schemes)}; {fault}")


@pass_context
def style(context: Context, value: Any) -> Any:
    """The value if it is one value of CSS, such as a colour or a width."""
    if type(value) is int:
        return value
    try:
        take_style(value)
    except ValueRefusedError:
        if _is_strict(context):
            raise
        return ""
    return value


def take_style(value: Any) -> None:
    """Raise `ValueRefusedError` if it is more, or something else, than one value of CSS."""
    text = str(value)
    if not _STYLE.fullmatch(text) or _ACTS_IN_STYLE.search(text):
        raise ValueRefusedError("style", value, "one value, such as a colour or a width")


def bare(value: Any) -> Markup:
    """The value in an attribute without quotes: whatever could end it is written as a character reference."""
    return Markup(_BARE.sub(lambda match: f"&#{ord(match[0])};", _text_of(value)) or "&#32;")  # noqa: S704 - nothing is left


@pass_context
def safe_url(context: Context, value: Any) -> str:
    """An absolute http, https, mailto, tel or sms address, in text parts too; anything else is treated as by `link`."""
    try:
        return take_safe_url(value, _schemes_of(context))
    except ValueRefusedError:
        if _is_strict(context):
            raise
        return DEAD


def _text_of(value: Any) -> str:
    return html.unescape(value) if isinstance(value, Markup) else write_value(value)


def _schemes_of(context: Context) -> Sequence[str]:
    schemes: Sequence[str] = getattr(context.environment, "link_schemes", LINK_SCHEMES)
    return schemes


def _is_strict(context: Context) -> bool:
    return bool(getattr(context.environment, "strict", True))


@pass_context
def entry(context: Context, value: Any) -> Any:
    """The value in an attribute of several addresses, if it cannot begin another one."""
    text = _text_of(value)
    if not _ENDS_ENTRY.search(text):
        return value
    if _is_strict(context):
        raise ValueRefusedError("srcset", value, "one address or a part of one, without blanks and commas around it")
    return ""


LINK, STYLE, BARE, ENTRY = "link in place", "style in place", "bare in place", "entry in place"
ACTING: Final = {LINK: link, STYLE: style, BARE: bare, ENTRY: entry}
"""By names that no template can write."""
