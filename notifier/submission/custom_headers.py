"""Check the custom headers of a request."""

import re
from collections.abc import Collection, Iterator, Mapping

from notifier import header_names
from notifier.errors import Fault, escape_pointer
from notifier.rendering import subject_values

MAX_HEADERS = 10
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ONE_CLICK = "List-Unsubscribe=One-Click"
_HTTPS_LINK = re.compile(r"<\s*https://[^\s<>]+\s*>", re.IGNORECASE)
"""A link of List-Unsubscribe to which a POST can go (RFC 8058 §3.1)."""


def check_headers(headers: Mapping[str, str], allowed: Collection[str]) -> list[Fault]:
    """Check custom headers by an allow-list, so that no caller can forge what relays and clients act upon.

    `allowed` is the operator's part of the list, as `header_names.is_allowed` takes it.
    """
    faults = []
    for name, value in headers.items():
        pointer = f"/headers/{escape_pointer(name)}"
        if not _HEADER_NAME.fullmatch(name) or not header_names.is_header_allowed(name, allowed):
            faults.append(Fault(pointer, "header_not_allowed", _explain_forbidden_header(name)))
        elif fault := subject_values.find_header_fault(value, pointer):
            faults.append(fault)
        elif len(value) > 900 or (name.lower() in header_names.STANDARD_HEADERS and not value.isascii()):  # noqa: PLR2004
            faults.append(Fault(pointer, "invalid_header_value", "at most 900 characters; ASCII unless it is X-…"))
    return [*faults, *_check_header_pairs(headers)]


def _explain_forbidden_header(name: str) -> str:
    if not name.lower().startswith("x-") or not _HEADER_NAME.fullmatch(name):
        return "this header cannot be set"
    if header_names.is_relay_command(name):
        return "this header can never be set: relays take it, or names that begin like it, for a command"
    return "the operator has not allowed this header: NOTIFIER_API__ALLOWED_HEADERS has the names that can be set"


def _check_header_pairs(headers: Mapping[str, str]) -> Iterator[Fault]:
    """A header given twice in different case, and incomplete headers for one-click unsubscribe (RFC 8058)."""
    names: dict[str, str] = {}
    for name in headers:
        if names.setdefault(name.lower(), name) != name:
            detail = f"{names[name.lower()]} is the same header; give it once"
            yield Fault(f"/headers/{escape_pointer(name)}", "invalid_header_value", detail)
    if (post := names.get("list-unsubscribe-post")) is None:
        return
    pointer, link = f"/headers/{escape_pointer(post)}", headers.get(names.get("list-unsubscribe", ""), "")
    if headers[post] != _ONE_CLICK:
        yield Fault(pointer, "invalid_header_value", f"its only value is {_ONE_CLICK} (RFC 8058)")
    elif not _HTTPS_LINK.search(link):
        detail = "it needs List-Unsubscribe with an https link in angle brackets, which takes the POST (RFC 8058)"
        yield Fault(pointer, "invalid_header_value", detail)
