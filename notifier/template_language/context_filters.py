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

from notifier.template_language.filters import ValueRefusedError
from notifier.template_language.link_address import (
    ENDS,
    IMAGE_SCHEMES,
    LINK_SCHEMES,
    SCHEME,
    find_link_fault,
    is_safe_link,
    is_web_address,
    name_schemes,
)
from notifier.template_language.value_text import format_value

DEAD_LINK: Final = "#"
"""Replaces an unusable link in mails of versions that were published before unusable values were refused."""
_ENDS_ENTRY = re.compile(r"\s|^,|,\Z")
_BARE = re.compile(r"[^A-Za-z0-9_.%-]")
_STYLE_VALUE = re.compile(r"[^;{}\\<>\"'()@]*|(?:rgb|hsl)a?\([\d\s.,%/]*\)", re.IGNORECASE)
_ACTS_IN_STYLE = re.compile(r"/\*|\*/|^\s*(?!https?:)[a-z]+script\s*:|^\s*data\s*:", re.IGNORECASE)


@pass_context
def guard_link(context: Context, value: Any, follows: str, image: bool) -> Any:  # noqa: FBT001 - only `contexts` calls it
    """Check a value at the beginning of a link: somebody must be able to follow it."""
    if type(value) is str and follows != SCHEME and is_web_address(value):  # most are
        return value
    schemes = IMAGE_SCHEMES if image else _get_link_schemes(context)
    if _is_strict(context):
        check_link(value, follows, image=image, schemes=schemes)
        return value
    return value if is_safe_link(_get_text(value), follows, schemes) else DEAD_LINK


def check_link(value: Any, follows: str = ENDS, *, image: bool = False, schemes: Sequence[str] = LINK_SCHEMES) -> None:
    """Check the beginning of a link or of an image's address. Raises `ValueRefusedError`."""
    if type(value) is str and follows != SCHEME and is_web_address(value):
        return
    text = "" if value is None else _get_text(value)
    schemes = IMAGE_SCHEMES if image else schemes
    if fault := find_link_fault(text, follows, schemes):
        raise _build_link_error("src" if image else "href", value, schemes, fault)


def parse_safe_url(value: Any, schemes: Sequence[str] = LINK_SCHEMES) -> str:
    """The value as an absolute address without blanks. Raises `ValueRefusedError`."""
    text = value.strip() if isinstance(value, str) else ""
    fault = find_link_fault(text, ENDS, schemes)
    if fault is None and re.search(r"\s", text):
        fault = "there is a blank in it"
    if fault is not None:
        raise _build_link_error("safe_url", value, schemes, fault)
    return text


def _build_link_error(name: str, value: Any, schemes: Sequence[str], fault: str) -> ValueRefusedError:
    return ValueRefusedError(name, value, f"a whole address that begins with {name_schemes(schemes)}; {fault}")


@pass_context
def guard_style(context: Context, value: Any) -> Any:
    """Check a value inside CSS: it must be one value, such as a colour or a width."""
    if type(value) is int:
        return value
    try:
        check_style(value)
    except ValueRefusedError:
        if _is_strict(context):
            raise
        return ""
    return value


def check_style(value: Any) -> None:
    """Check that the value is exactly one CSS value. Raises `ValueRefusedError`."""
    text = str(value)
    if not _STYLE_VALUE.fullmatch(text) or _ACTS_IN_STYLE.search(text):
        raise ValueRefusedError("style", value, "one value, such as a colour or a width")


def guard_unquoted(value: Any) -> Markup:
    """Write a value in an attribute without quotes: characters that could end it become character references."""
    return Markup(_BARE.sub(lambda match: f"&#{ord(match[0])};", _get_text(value)) or "&#32;")  # noqa: S704 - nothing is left


@pass_context
def show_safe_url(context: Context, value: Any) -> str:
    """The filter `safe_url`: an absolute http, https, mailto, tel or sms address, also in text parts."""
    try:
        return parse_safe_url(value, _get_link_schemes(context))
    except ValueRefusedError:
        if _is_strict(context):
            raise
        return DEAD_LINK


def _get_text(value: Any) -> str:
    return html.unescape(value) if isinstance(value, Markup) else format_value(value)


def _get_link_schemes(context: Context) -> Sequence[str]:
    schemes: Sequence[str] = getattr(context.environment, "link_schemes", LINK_SCHEMES)
    return schemes


def _is_strict(context: Context) -> bool:
    return bool(getattr(context.environment, "strict", True))


@pass_context
def guard_list_entry(context: Context, value: Any) -> Any:
    """Check a value in an attribute that holds several addresses: it must not begin another one."""
    text = _get_text(value)
    if not _ENDS_ENTRY.search(text):
        return value
    if _is_strict(context):
        raise ValueRefusedError("srcset", value, "one address or a part of one, without blanks and commas around it")
    return ""


LINK_FILTER, STYLE_FILTER, UNQUOTED_FILTER, LIST_ENTRY_FILTER = (
    "link in place",
    "style in place",
    "bare in place",
    "entry in place",
)
CONTEXT_FILTERS: Final = {
    LINK_FILTER: guard_link,
    STYLE_FILTER: guard_style,
    UNQUOTED_FILTER: guard_unquoted,
    LIST_ENTRY_FILTER: guard_list_entry,
}
"""The filters by their names; no template can write these names, because they contain blanks."""
