"""Filters that protect a value where escaping is not enough: links, styles and attributes without quotes.

`contexts` puts these filters around every value in such a place, so that template authors need not think of it:
a link leads somewhere, a style is one CSS value, and an attribute ends where its author ended it. A value that does not
fit keeps the mail from being sent. Versions from before that rule turn it into a dead link, or into nothing.
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
"""Replaces an unusable link in mails of versions that were published before unusable values were refused."""
_ENDS_ENTRY = re.compile(r"\s|^,|,\Z")
_BARE = re.compile(r"[^A-Za-z0-9_.%-]")
_STYLE = re.compile(r"[^;{}\\<>\"'()@]*|(?:rgb|hsl)a?\([\d\s.,%/]*\)", re.IGNORECASE)
_ACTS_IN_STYLE = re.compile(r"/\*|\*/|^\s*(?!https?:)[a-z]+script\s*:|^\s*data\s*:", re.IGNORECASE)


@pass_context
def link(context: Context, value: Any, follows: str, image: bool) -> Any:  # noqa: FBT001 - only `contexts` calls it
    """Check a value at the beginning of a link: somebody must be able to follow it."""
    if type(value) is str and follows != SCHEME and is_usual(value):  # most are
        return value
    schemes = IMAGE_SCHEMES if image else _schemes_of(context)
    if _is_strict(context):
        take_link(value, follows, image=image, schemes=schemes)
        return value
    return value if is_harmless(_text_of(value), follows, schemes) else DEAD


def take_link(value: Any, follows: str = ENDS, *, image: bool = False, schemes: Sequence[str] = LINK_SCHEMES) -> None:
    """Check the beginning of a link or of an image's address. Raises `ValueRefusedError`."""
    if type(value) is str and follows != SCHEME and is_usual(value):
        return
    text = "" if value is None else _text_of(value)
    schemes = IMAGE_SCHEMES if image else schemes
    if fault := find_link_fault(text, follows, schemes):
        raise _refused("src" if image else "href", value, schemes, fault)


def take_safe_url(value: Any, schemes: Sequence[str] = LINK_SCHEMES) -> str:
    """The value as an absolute address without blanks. Raises `ValueRefusedError`."""
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
    """Check a value inside CSS: it must be one value, such as a colour or a width."""
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
    """Check that the value is exactly one CSS value. Raises `ValueRefusedError`."""
    text = str(value)
    if not _STYLE.fullmatch(text) or _ACTS_IN_STYLE.search(text):
        raise ValueRefusedError("style", value, "one value, such as a colour or a width")


def bare(value: Any) -> Markup:
    """Write a value in an attribute without quotes: characters that could end it become character references."""
    return Markup(_BARE.sub(lambda match: f"&#{ord(match[0])};", _text_of(value)) or "&#32;")  # noqa: S704 - nothing is left


@pass_context
def safe_url(context: Context, value: Any) -> str:
    """The filter `safe_url`: an absolute http, https, mailto, tel or sms address, also in text parts."""
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
    """Check a value in an attribute that holds several addresses: it must not begin another one."""
    text = _text_of(value)
    if not _ENDS_ENTRY.search(text):
        return value
    if _is_strict(context):
        raise ValueRefusedError("srcset", value, "one address or a part of one, without blanks and commas around it")
    return ""


LINK, STYLE, BARE, ENTRY = "link in place", "style in place", "bare in place", "entry in place"
ACTING: Final = {LINK: link, STYLE: style, BARE: bare, ENTRY: entry}
"""The filters by their names; no template can write these names, because they contain blanks."""
