"""Addresses of links: which of them the reader of a mail can follow, and what is wrong with the others.

Submission, rendering and a template's settings all use these functions, so that they agree.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

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
    """Why nobody could follow a link that begins with this text; None: the link is fine."""
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
    """Why a template may not add this scheme; None: it may."""
    if not _NEW_SCHEME.fullmatch(scheme):
        return "a scheme is written in small letters and without its colon, such as shopapp"
    if scheme in DANGEROUS_SCHEMES:
        return "such a link could run code or read files, so that it is never allowed"
    return None
