"""Validate a request: `validate_request` returns a valid request, or every fault in it.

It promises that a valid request can be rendered with the version that it pins. It writes nothing and sends nothing.
"""

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from notifier import address, header_names
from notifier.address import InvalidAddressError, NeedsSmtputf8Error
from notifier.auth.keys import Caller
from notifier.errors import Fault
from notifier.notification import attachment
from notifier.notification.attachment import CheckedAttachment
from notifier.notification.rights import MailRights
from notifier.notification.terms import Terms
from notifier.rendering import subject
from notifier.rendering.job import Mailbox
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
LARGEST_VARIABLES = 256 * 1024  # bytes as JSON
AT_ONCE = 64 * 1024
"""Characters of attachments that are decoded without a thread."""
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ONE_CLICK = "List-Unsubscribe=One-Click"
_HTTPS_LINK = re.compile(r"<\s*https://[^\s<>]+\s*>", re.IGNORECASE)
"""A link of List-Unsubscribe to which a POST can go (RFC 8058 §3.1)."""
_TEMPLATE_SENDER_HINT = (
    "which whoever edits templates can change, as the operator can the domains of the service; or name another `from`"
)
_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A parsed request, not yet validated; fields that did not parse have their defaults."""

    to: str | None = None
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    sender: str | None = None  # "Name <address>" or an address
    reply_to: str | None = None
    template: str | None = None
    content: Mapping[str, str | None] | None = None  # subject, html, text: sent unchanged
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
    """Another recipient of the mail, named in cc or bcc."""

    role: Role
    address: str  # normalised
    pointer: str  # where the request names it


@dataclass(frozen=True, kw_only=True)
class ValidRequest:
    """A request without faults: normalised, and with its template version found."""

    request: Wanted
    now: datetime  # when it was validated: the notification's time of creation
    recipient: str
    copies: list[CheckedCopy]
    sender: Mailbox
    reply_to: Mailbox | None
    version: Published | None  # None: the request has its own content
    attachments: list[CheckedAttachment]
    times: Times


Faults = list[Fault]


async def validate_request(
    request: Wanted, caller: Caller, rules: Terms, templates: Shelf, now: datetime, parse_faults: Sequence[Fault] = ()
) -> ValidRequest | Faults:
    """Validate everything about the request; `parse_faults`, found while parsing, come first among the faults."""
    rights = rules.rights_of(caller)
    recipient, copies, recipient_faults = _validate_recipients(request, rights)
    version, version_faults = await _find_version(templates, request)
    sender, sender_faults = _validate_sender(request, version, rules, rights)
    reply_to, reply_to_faults = _validate_reply_to(request, version)
    attachments, attachment_faults = await _validate_attachments(request)
    times, time_faults = times_of(request, version, now)
    faults = [
        *parse_faults,
        *recipient_faults,
        *sender_faults,
        *reply_to_faults,
        *faults_in_headers(request.headers, rules.allowed_headers),
        *faults_in_locale(request.locale),
        *faults_in_content(request.content),
        *version_faults,
        *(faults_in_variables(version, request.variables) if version and request.variables is not None else ()),
        *attachment_faults,
        *time_faults,
    ]
    if faults or recipient is None or (version is None and request.content is None):
        return faults
    return ValidRequest(
        request=request,
        now=now,
        recipient=recipient,
        copies=copies,
        sender=sender,
        reply_to=reply_to,
        version=version,
        attachments=attachments,
        times=times,
    )


# -- recipients, sender, template and attachments ----------------------------------------------------------------------


def _validate_recipients(request: Wanted, rights: MailRights) -> tuple[str | None, list[CheckedCopy], Faults]:
    """Normalise all addresses; each must be allowed for this caller, and nobody gets the mail twice."""
    to = parse_address(request.to, "/to") if request.to is not None else None
    faults = [to] if isinstance(to, Fault) else []
    recipient = to if isinstance(to, str) else None
    copies, copy_faults = _parse_copies(request, recipient)
    named = [("/to", recipient)] if recipient else []
    named += [(copy.pointer, copy.address) for copy in copies]
    refusals = (rights.recipient_fault(name, rights.caller.kind, pointer) for pointer, name in named)
    return recipient, copies, [*faults, *copy_faults, *(fault for fault in refusals if fault)]


def _parse_copies(request: Wanted, recipient: str | None) -> tuple[list[CheckedCopy], Faults]:
    """Normalise the addresses of cc and bcc, in their order."""
    named = [(role, index, text) for role in (Role.CC, Role.BCC) for index, text in enumerate(getattr(request, role))]
    if len(named) > MOST_COPIES:
        return [], [Fault("/cc", "too_many", f"cc and bcc have at most {MOST_COPIES} addresses together")]
    copies: list[CheckedCopy] = []
    faults: Faults = []
    seen = {address.key(recipient)} if recipient else set()
    for role, index, text in named:
        pointer = f"/{role}/{index}"
        parsed = parse_address(text, pointer)
        if isinstance(parsed, Fault):
            faults.append(parsed)
            continue
        if address.key(parsed) in seen:
            faults.append(Fault(pointer, "duplicate_recipient", "this address gets the mail already"))
        seen.add(address.key(parsed))
        copies.append(CheckedCopy(role=role, address=parsed, pointer=pointer))
    return copies, faults


def parse_address(text: str, pointer: str) -> str | Fault:
    """Normalise an address."""
    try:
        return address.normalised(text)
    except InvalidAddressError as error:
        return _build_address_fault(error, pointer)


def _build_address_fault(error: InvalidAddressError, pointer: str) -> Fault:
    code = "smtputf8_not_supported" if isinstance(error, NeedsSmtputf8Error) else "invalid_address"
    return Fault(pointer, code, str(error))


async def _find_version(templates: Shelf, request: Wanted) -> tuple[Published | None, Faults]:
    """Find the version to pin: the current one, or the one that the request names."""
    if request.template is None:
        return None, []
    current = await templates.version(request.template)
    if current is None:
        return None, [Fault("/template", "unknown_template", f"there is no template {request.template!r}")]
    if request.template_version is None or request.template_version == current.number:
        return current, []
    version = await templates.version(request.template, request.template_version)
    if version is None:
        detail = f"{request.template} has no published version {request.template_version}"
        return None, [Fault("/template_version", "unknown_template_version", detail)]
    return version, []


def _validate_sender(
    request: Wanted, version: Published | None, rules: Terms, rights: MailRights
) -> tuple[Mailbox, Faults]:
    """The mailbox of the From field: from the request, its template or the instance."""
    default = Mailbox(rules.identity.address, rules.identity.name)
    text, hint = request.sender, ""
    if text is None and version and version.sender:
        text, hint = version.sender, f"; it is the default of {version.slug}, {_TEMPLATE_SENDER_HINT}"
    if text is None:
        return default, []
    sender, faults = parse_mailbox(text, "/from")
    if sender is None:
        return default, faults
    refusal = rights.sender_fault(sender.address, "/from", hint)
    return sender, [*faults, *([refusal] if refusal else [])]


def _validate_reply_to(request: Wanted, version: Published | None) -> tuple[Mailbox | None, Faults]:
    text = request.reply_to
    if text is None and version and version.reply_to:
        text = version.reply_to
    return parse_mailbox(text, "/reply_to") if text is not None else (None, [])


def parse_mailbox(text: str, pointer: str) -> tuple[Mailbox | None, Faults]:
    """Parse display name and address of a sender or reply-to field."""
    if fault := subject.unfit(text, pointer):
        return None, [fault]
    try:
        name, bare_address = address.with_name(text)
    except InvalidAddressError as error:
        return None, [_build_address_fault(error, pointer)]
    too_long = Fault(pointer, "invalid_header_value", f"a name has at most {LONGEST_NAME} characters")
    return Mailbox(bare_address, name), [too_long] if name and len(name) > LONGEST_NAME else []


async def _validate_attachments(request: Wanted) -> tuple[list[CheckedAttachment], Faults]:
    """Decode and check the attachments, in a thread if they are large."""
    if not request.attachments:
        return [], []
    if sum(len(file["content"]) for file in request.attachments) > AT_ONCE:
        return await asyncio.to_thread(attachment.checked, request.attachments)
    return attachment.checked(request.attachments)


# -- single fields -----------------------------------------------------------------------------------------------------


def faults_in_content(content: Mapping[str, str | None] | None) -> list[Fault]:
    """The subject must fit into a header field."""
    fault = subject.unfit(content["subject"] or "", "/content/subject") if content else None
    return [fault] if fault else []


def faults_in_headers(headers: Mapping[str, str], allowed: Collection[str]) -> list[Fault]:
    """Check custom headers by an allow-list, so that no caller can forge what relays and clients act upon.

    `allowed` is the operator's part of the list, as `header_names.is_allowed` takes it.
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


def faults_in_locale(tag: str | None) -> list[Fault]:
    """A language tag must look like one (BCP 47)."""
    if tag is None or _LOCALE.fullmatch(tag):
        return []
    return [Fault("/locale", "invalid_locale", "a language tag such as en or fr-CA (BCP 47)")]


def faults_in_variables(version: Published, variables: Mapping[str, Any]) -> list[Fault]:
    """Check the variables against the template's schema, and those of the subject against the rules of a header."""
    if len(msgspec.json.encode(variables)) > LARGEST_VARIABLES:
        return [Fault("/variables", "too_large", f"at most {LARGEST_VARIABLES} bytes")]
    return faults_in(version.variables_schema, variables) + subject.faults_in(version.subject_variables, variables)


def times_of(request: Wanted, version: Published | None, now: datetime) -> tuple[Times, Faults]:
    """When to send and when to give up; a `send_at` up to a day in the past means now."""
    faults: Faults = []
    send_at = request.send_at or now
    if send_at.tzinfo is None:
        faults.append(Fault("/send_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        send_at = now
    elif send_at > now + LONGEST_FUTURE or send_at < now - LONGEST_PAST:
        faults.append(Fault("/send_at", "time_out_of_range", "at most a day ago and at most a year ahead"))
        send_at = now  # arithmetic with the first and last days of the calendar overflows
    send_at = max(send_at.astimezone(UTC), now)
    lifetime = timedelta(seconds=version.expires_after) if version and version.expires_after else EXPIRES_AFTER
    expires_at = request.expires_at or send_at + lifetime
    if expires_at.tzinfo is None:
        faults.append(Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        expires_at = send_at + lifetime
    elif not send_at < expires_at <= send_at + LONGEST_FUTURE:
        faults.append(Fault("/expires_at", "time_out_of_range", "after send_at, and at most a year after it"))
        expires_at = send_at + lifetime
    return Times(send_at=send_at, expires_at=expires_at.astimezone(UTC)), faults
