"""What can be wrong with a request, check by check; each adds its faults, so that all are told in one reply."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from notifier import email_address, header_names
from notifier.email_address import InvalidAddressError, NeedsSmtputf8Error
from notifier.errors import Fault
from notifier.rendering import subject_values
from notifier.states import Priority, Role, WhenUncertain
from notifier.template_language.variable_path import escape_pointer
from notifier.template_language.variable_schema import find_variable_faults
from notifier.templating.version_store import PublishedVersion, TemplateCache

DEFAULT_LIFETIME = timedelta(hours=72)
MAX_PAST = timedelta(hours=24)
MAX_FUTURE = timedelta(days=365)
MAX_HEADERS = 10
MAX_COPIES = 50
MAX_DISPLAY_NAME_LENGTH = 256
MAX_VARIABLES_BYTES = 256 * 1024  # octets as JSON
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ONE_CLICK = "List-Unsubscribe=One-Click"
_HTTPS_LINK = re.compile(r"<\s*https://[^\s<>]+\s*>", re.IGNORECASE)
"""A link of List-Unsubscribe to which a POST can go (RFC 8058 §3.1)."""
_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, kw_only=True)
class NotificationRequest:
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
class DeliveryTimes:
    """When to send and when to give up; aware UTC."""

    send_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class CopyRecipient:
    """Somebody else who gets the mail."""

    role: Role
    address: str  # normalised
    pointer: str  # where the request names it


async def find_version(
    shelf: TemplateCache, wanted: NotificationRequest, faults: list[Fault]
) -> PublishedVersion | None:
    """The version to pin: the current one, or the one asked for."""
    if wanted.template is None:
        return None
    current = await shelf.get_version(wanted.template)
    if current is None:
        faults.append(Fault("/template", "unknown_template", f"there is no template {wanted.template!r}"))
        return None
    if wanted.template_version is None or wanted.template_version == current.number:
        return current
    version = await shelf.get_version(wanted.template, wanted.template_version)
    if version is None:
        detail = f"{wanted.template} has no published version {wanted.template_version}"
        faults.append(Fault("/template_version", "unknown_template_version", detail))
    return version


def parse_address(text: str | None, pointer: str, faults: list[Fault]) -> str | None:
    """The normalised address, or a fault."""
    if text is None:
        return None
    try:
        return email_address.normalise_address(text)
    except NeedsSmtputf8Error as error:
        faults.append(Fault(pointer, "smtputf8_not_supported", str(error)))
    except InvalidAddressError as error:
        faults.append(Fault(pointer, "invalid_address", str(error)))
    return None


def parse_copies(wanted: NotificationRequest, recipient: str | None, faults: list[Fault]) -> list[CopyRecipient]:
    """Who else gets the mail, normalised, in the order in which they were named; nobody gets it twice."""
    named = [(role, index, text) for role in (Role.CC, Role.BCC) for index, text in enumerate(getattr(wanted, role))]
    if len(named) > MAX_COPIES:
        faults.append(Fault("/cc", "too_many", f"cc and bcc have at most {MAX_COPIES} addresses together"))
        return []
    found: list[CopyRecipient] = []
    seen = {email_address.get_address_key(recipient)} if recipient else set()
    for role, index, text in named:
        pointer = f"/{role}/{index}"
        one = parse_address(text, pointer, faults)
        if one is None:
            continue
        if email_address.get_address_key(one) in seen:
            faults.append(Fault(pointer, "duplicate_recipient", "this address gets the mail already"))
        seen.add(email_address.get_address_key(one))
        found.append(CopyRecipient(role=role, address=one, pointer=pointer))
    return found


def check_content(content: Mapping[str, str | None] | None) -> list[Fault]:
    """The subject stands in a header field."""
    fault = subject_values.find_header_fault(content["subject"] or "", "/content/subject") if content else None
    return [fault] if fault else []


def parse_mailbox(text: str, pointer: str, faults: list[Fault]) -> tuple[str | None, str | None]:
    """Display name and address of a sender or reply-to field."""
    if fault := subject_values.find_header_fault(text, pointer):
        faults.append(fault)
        return None, None
    try:
        name, found = email_address.parse_named_address(text)
    except NeedsSmtputf8Error as error:
        faults.append(Fault(pointer, "smtputf8_not_supported", str(error)))
        return None, None
    except InvalidAddressError as error:
        faults.append(Fault(pointer, "invalid_address", str(error)))
        return None, None
    if name and len(name) > MAX_DISPLAY_NAME_LENGTH:
        faults.append(
            Fault(pointer, "invalid_header_value", f"a name has at most {MAX_DISPLAY_NAME_LENGTH} characters")
        )
    return name, found


def check_headers(headers: Mapping[str, str], allowed: Collection[str]) -> list[Fault]:
    """Custom headers: an allow-list, so that no caller can forge what relays and clients act upon.

    `allowed` is the operator's part of it, as `header_names.is_allowed` takes it.
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


def check_locale(tag: str | None) -> list[Fault]:
    """A language tag must look like one (BCP 47)."""
    if tag is None or _LOCALE.fullmatch(tag):
        return []
    return [Fault("/locale", "invalid_locale", "a language tag such as en or fr-CA (BCP 47)")]


def check_variables(version: PublishedVersion, variables: Mapping[str, Any]) -> list[Fault]:
    """What the template cannot take, and what the subject, where it would be shown, could not hold."""
    if len(msgspec.json.encode(variables)) > MAX_VARIABLES_BYTES:
        return [Fault("/variables", "too_large", f"at most {MAX_VARIABLES_BYTES} bytes")]
    return find_variable_faults(version.variables_schema, variables) + subject_values.find_subject_faults(
        version.subject_variables, variables
    )


def compute_times(
    wanted: NotificationRequest, version: PublishedVersion | None, now: datetime, faults: list[Fault]
) -> DeliveryTimes:
    """When to send and when to give up; a `send_at` up to a day in the past means now."""
    send_at = wanted.send_at or now
    if send_at.tzinfo is None:
        faults.append(Fault("/send_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        send_at = now
    elif send_at > now + MAX_FUTURE or send_at < now - MAX_PAST:
        faults.append(Fault("/send_at", "time_out_of_range", "at most a day ago and at most a year ahead"))
        send_at = now  # the ends of the calendar cannot be reckoned with
    send_at = max(send_at.astimezone(UTC), now)
    lifetime = timedelta(seconds=version.expires_after) if version and version.expires_after else DEFAULT_LIFETIME
    expires_at = wanted.expires_at or send_at + lifetime
    if expires_at.tzinfo is None:
        faults.append(Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        expires_at = send_at + lifetime
    elif not send_at < expires_at <= send_at + MAX_FUTURE:
        faults.append(Fault("/expires_at", "time_out_of_range", "after send_at, and at most a year after it"))
        expires_at = send_at + lifetime
    return DeliveryTimes(send_at=send_at, expires_at=expires_at.astimezone(UTC))
