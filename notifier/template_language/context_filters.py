"""Filters that protect a value where escaping is not enough: links, styles and attributes without quotes.

`contextual_escaping` puts these filters around every value in such a place. A value that does not fit keeps the mail
from being sent. Versions from before that rule turn it into a dead link, or into nothing. Submission, rendering and a
template's settings use the same functions for the addresses of links.
"""

import html
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from notifier.template_language.filters import ValueRefusedError
from notifier.template_language.template_values import format_value

LINK_SCHEMES: Final = ("https", "http", "mailto", "tel", "sms")
"""The schemes that every template may link to; its settings may add others."""
IMAGE_SCHEMES: Final = ("https", "http", "cid")
"""The schemes of images; `cid:` is an image inside the mail."""
DANGEROUS_SCHEMES: Final = frozenset(
    {
        "about", "blob", "chrome", "cid", "data", "file", "filesystem", "jar", "javascript", "livescript", "mid",
        "mocha", "resource", "vbscript", "view-source",
    }
)  # fmt: skip
"""Schemes that no template may add: they run code, show other pages' content, or read the reader's files."""

ENDS, PATH, SCHEME, START = "ends", "path", "scheme", "start"
"""What follows a value in its attribute: nothing, a path or query, a colon, or something unknown."""

_NEW_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}")
_SCHEME = re.compile(r"([^/?#:]*):")
_BLANKS: Final = " \t\r\n\f"  # what a browser takes away around an address
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USUAL = re.compile(r"https?://[^\x00-\x20/?#:@\\\x7f][^\x00-\x1f\x7f]*(?<![ ])")
_HOST = re.compile(r"//[^\s/?#:\\]")


def is_web_address(text: str) -> bool:
    """Whether it is an http(s) address that needs no further check; most are."""
    return _USUAL.fullmatch(text) is not None


def is_safe_link(text: str, follows: str, schemes: Collection[str]) -> bool:
    """Whether a value at the beginning of a link has one of these schemes or is relative."""
    if follows == SCHEME:
        return text.strip().lower() in schemes
    match = _SCHEME.match(text)
    if match:
        return match[1].strip().lower() in schemes
    return follows in (ENDS, PATH) or text.lstrip()[:1] in ("/", "?", "#")


def find_link_fault(text: str, follows: str, schemes: Collection[str]) -> str | None:
    """Why a link that begins with this text cannot be followed; None if it can."""
    text = text.strip(_BLANKS)
    match = _SCHEME.match(text)
    scheme = (text if follows == SCHEME else match[1] if match else "").lower()
    if not text:
        return "there is none"
    if _CONTROL.search(text):
        return "there is a line break or another control character in it"
    if not scheme:
        return "it has no scheme"
    if scheme not in schemes:
        return "its scheme is not one of those"
    return _find_end_fault(scheme, text[match.end() :]) if match and follows == ENDS else None


def _find_end_fault(scheme: str, rest: str) -> str | None:
    """What is missing behind the scheme of a complete address."""
    if scheme in ("http", "https") and not _HOST.match(rest):
        return f"there is no host behind {scheme}://"
    return None if rest.strip("/ ") else "there is nothing behind its scheme"


def list_link_schemes(added: Iterable[str]) -> tuple[str, ...]:
    """The usual schemes with those that a template has added."""
    return tuple(dict.fromkeys((*LINK_SCHEMES, *added)))


def name_schemes(schemes: Collection[str]) -> str:
    """The schemes as people write them: https://, mailto: or tel:."""
    *names, last = [f"{scheme}://" if scheme in ("http", "https") else f"{scheme}:" for scheme in schemes]
    return f"{', '.join(names)} or {last}" if names else last


def find_scheme_fault(scheme: str) -> str | None:
    """Why a template may not add this scheme; None if it may."""
    if not _NEW_SCHEME.fullmatch(scheme):
        return "a scheme is written in small letters and without its colon, such as shopapp"
    if scheme in DANGEROUS_SCHEMES:
        return "such a link could run code or read files, so that it is never allowed"
    return None


DEAD_LINK: Final = "#"
"""Replaces an unusable link in mails of versions that were published before unusable values were refused."""
_ENDS_ADDRESS = re.compile(r"\s|^,|,\Z")
_UNSAFE_UNQUOTED = re.compile(r"[^A-Za-z0-9_.%-]")
_STYLE_VALUE = re.compile(r"[^;{}\\<>\"'()@]*|(?:rgb|hsl)a?\([\d\s.,%/]*\)", re.IGNORECASE)
_ACTIVE_CSS = re.compile(r"/\*|\*/|^\s*(?!https?:)[a-z]+script\s*:|^\s*data\s*:", re.IGNORECASE)


@pass_context
def guard_link(context: Context, value: Any, follows: str, image: bool) -> Any:  # noqa: FBT001 - only compiled templates call it
    """Check a value at the beginning of a link: a reader must be able to follow it."""
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
    if not _STYLE_VALUE.fullmatch(text) or _ACTIVE_CSS.search(text):
        raise ValueRefusedError("style", value, "one value, such as a colour or a width")


def guard_unquoted(value: Any) -> Markup:
    """Write a value in an attribute without quotes: characters that could end it become character references."""
    return Markup(_UNSAFE_UNQUOTED.sub(lambda match: f"&#{ord(match[0])};", _get_text(value)) or "&#32;")  # noqa: S704 - nothing is left


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
    if not _ENDS_ADDRESS.search(text):
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
