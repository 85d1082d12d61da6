"""What can be wrong with a request, check by check; each adds its faults, so that all are told in one reply."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from notifier import address, header_names
from notifier.address import InvalidAddressError, NeedsSmtputf8Error
from notifier.errors import Fault
from notifier.rendering import subject
from notifier.rendering.pointer import escape_pointer
from notifier.rendering.variables import faults_in
from notifier.states import Priority, Role, WhenUncertain
from notifier.templating.store import Published, Shelf

EXPIRES_AFTER = timedelta(hours=72)
LONGEST_PAST = timedelta(hours=24)
LONGEST_FUTURE = timedelta(days=365)
MOST_HEADERS = 10
MOST_COPIES = 50
LONGEST_NAME = 256
LARGEST_VARIABLES = 256 * 1024  # octets as JSON
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ONE_CLICK = "List-Unsubscribe=One-Click"
_HTTPS_LINK = re.compile(r"<\s*https://[^\s<>]+\s*>", re.IGNORECASE)
"""A link of List-Unsubscribe to which a POST can go (RFC 8058 §3.1)."""
_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a caller asks for, parsed but not yet checked; fields that did not parse are left at their defaults."""

    to: str | None = None
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    sender: str | None = None  # "Name <address>" or an address
    reply_to: str | None = None
    template: str | None = None
    content: Mapping[str, str | None] | None = None  # subject, html, text: sent as they are
    template_version: int | None = None
    variables: Mapping[str, Any] | None = field(default_factory=dict)
    locale: str | None = None
    attachments: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    send_at: datetime | None = None
    expires_at: datetime | None = None
    priority: Priority | None = None
    when_uncertain: WhenUncertain | None = None


@dataclass(frozen=True, kw_only=True)
class Times:
    """When to send and when to give up; aware UTC."""

    send_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class CheckedCopy:
    """Somebody else who gets the mail."""

    role: Role
    address: str  # normalised
    pointer: str  # where the request names it


async def version_of(shelf: Shelf, wanted: Wanted, faults: list[Fault]) -> Published | None:
    """The version to pin: the current one, or the one asked for."""
    if wanted.template is None:
        return None
    current = await shelf.version(wanted.template)
    if current is None:
        faults.append(Fault("/template", "unknown_template", f"there is no template {wanted.template!r}"))
        return None
    if wanted.template_version is None or wanted.template_version == current.number:
        return current
    version = await shelf.version(wanted.template, wanted.template_version)
    if version is None:
        detail = f"{wanted.template} has no published version {wanted.template_version}"
        faults.append(Fault("/template_version", "unknown_template_version", detail))
    return version


def address_of(text: str | None, pointer: str, faults: list[Fault]) -> str | None:
    """The normalised address, or a fault."""
    if text is None:
        return None
    try:
        return address.normalised(text)
    except NeedsSmtputf8Error as error:
        faults.append(Fault(pointer, "smtputf8_not_supported", str(error)))
    except InvalidAddressError as error:
        faults.append(Fault(pointer, "invalid_address", str(error)))
    return None


def copies_of(wanted: Wanted, recipient: str | None, faults: list[Fault]) -> list[CheckedCopy]:
    """Who else gets the mail, normalised, in the order in which they were named; nobody gets it twice."""
    named = [(role, index, text) for role in (Role.CC, Role.BCC) for index, text in enumerate(getattr(wanted, role))]
    if len(named) > MOST_COPIES:
        faults.append(Fault("/cc", "too_many", f"cc and bcc have at most {MOST_COPIES} addresses together"))
        return []
    found: list[CheckedCopy] = []
    seen = {address.key(recipient)} if recipient else set()
    for role, index, text in named:
        pointer = f"/{role}/{index}"
        one = address_of(text, pointer, faults)
        if one is None:
            continue
        if address.key(one) in seen:
            faults.append(Fault(pointer, "duplicate_recipient", "this address gets the mail already"))
        seen.add(address.key(one))
        found.append(CheckedCopy(role=role, address=one, pointer=pointer))
    return found


def faults_in_content(content: Mapping[str, str | None] | None) -> list[Fault]:
    """The subject stands in a header field."""
    fault = subject.unfit(content["subject"] or "", "/content/subject") if content else None
    return [fault] if fault else []


def mailbox_of(text: str, pointer: str, faults: list[Fault]) -> tuple[str | None, str | None]:
    """Display name and address of a sender or reply-to field."""
    if fault := subject.unfit(text, pointer):
        faults.append(fault)
        return None, None
    try:
        name, found = address.with_name(text)
    except NeedsSmtputf8Error as error:
        faults.append(Fault(pointer, "smtputf8_not_supported", str(error)))
        return None, None
    except InvalidAddressError as error:
        faults.append(Fault(pointer, "invalid_address", str(error)))
        return None, None
    if name and len(name) > LONGEST_NAME:
        faults.append(Fault(pointer, "invalid_header_value", f"a name has at most {LONGEST_NAME} characters"))
    return name, found


def faults_in_headers(headers: Mapping[str, str], allowed: Collection[str]) -> list[Fault]:
    """Custom headers: an allow-list, so that no caller can forge what relays and clients act upon.

    `allowed` is the operator's part of it, as `header_names.is_allowed` takes it.
    """
    faults = []
    for name, value in headers.items():
        pointer = f"/headers/{escape_pointer(name)}"
        if not _HEADER_NAME.fullmatch(name) or not header_names.is_allowed(name, allowed):
            faults.append(Fault(pointer, "header_not_allowed", _why_not(name)))
        elif fault := subject.unfit(value, pointer):
            faults.append(fault)
        elif len(value) > 900 or (name.lower() in header_names.STANDARD and not value.isascii()):  # noqa: PLR2004
            faults.append(Fault(pointer, "invalid_header_value", "at most 900 characters; ASCII unless it is X-…"))
    return [*faults, *_faults_between_headers(headers)]


def _why_not(name: str) -> str:
    if not name.lower().startswith("x-") or not _HEADER_NAME.fullmatch(name):
        return "this header cannot be set"
    if header_names.commands_relay(name):
        return "this header can never be set: relays take it, or names that begin like it, for a command"
    return "the operator has not allowed this header: NOTIFIER_API__ALLOWED_HEADERS has the names that can be set"


def _faults_between_headers(headers: Mapping[str, str]) -> Iterator[Fault]:
    """A field that is there twice in different case, and one half of one-click unsubscribing (RFC 8058)."""
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


def faults_in_locale(tag: str | None) -> list[Fault]:
    """A language tag must look like one (BCP 47)."""
    if tag is None or _LOCALE.fullmatch(tag):
        return []
    return [Fault("/locale", "invalid_locale", "a language tag such as en or fr-CA (BCP 47)")]


def faults_in_variables(version: Published, variables: Mapping[str, Any]) -> list[Fault]:
    """What the template cannot take, and what the subject, where it would be shown, could not hold."""
    if len(msgspec.json.encode(variables)) > LARGEST_VARIABLES:
        return [Fault("/variables", "too_large", f"at most {LARGEST_VARIABLES} bytes")]
    return faults_in(version.variables_schema, variables) + subject.faults_in(version.subject_variables, variables)


def times_of(wanted: Wanted, version: Published | None, now: datetime, faults: list[Fault]) -> Times:
    """When to send and when to give up; a `send_at` up to a day in the past means now."""
    send_at = wanted.send_at or now
    if send_at.tzinfo is None:
        faults.append(Fault("/send_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        send_at = now
    elif send_at > now + LONGEST_FUTURE or send_at < now - LONGEST_PAST:
        faults.append(Fault("/send_at", "time_out_of_range", "at most a day ago and at most a year ahead"))
        send_at = now  # the ends of the calendar cannot be reckoned with
    send_at = max(send_at.astimezone(UTC), now)
    lifetime = timedelta(seconds=version.expires_after) if version and version.expires_after else EXPIRES_AFTER
    expires_at = wanted.expires_at or send_at + lifetime
    if expires_at.tzinfo is None:
        faults.append(Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        expires_at = send_at + lifetime
    elif not send_at < expires_at <= send_at + LONGEST_FUTURE:
        faults.append(Fault("/expires_at", "time_out_of_range", "after send_at, and at most a year after it"))
        expires_at = send_at + lifetime
    return Times(send_at=send_at, expires_at=expires_at.astimezone(UTC))
