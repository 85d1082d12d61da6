"""Validate a request: `validate_request` returns a valid request, or every fault in it.

A valid request can be rendered with the version that it pins. Nothing is written or sent here.
"""

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from notifier import email_address, header_names
from notifier.auth.authenticated_key import Caller, MailRights
from notifier.email_address import InvalidAddressError, NeedsSmtputf8Error
from notifier.errors import Fault, escape_pointer
from notifier.mail.mail_parts import Mailbox
from notifier.rendering import subject_values
from notifier.states import Role
from notifier.submission import attachment_validation
from notifier.submission.attachment_validation import CheckedAttachment
from notifier.submission.new_notification import (
    CopyRecipient,
    DeliveryTimes,
    NotificationRequest,
    ValidationRules,
    ValidRequest,
)
from notifier.template_language.variable_schema import find_variable_faults
from notifier.templating.version_store import PublishedVersion, TemplateCache

DEFAULT_LIFETIME = timedelta(hours=72)
MAX_PAST = timedelta(hours=24)
MAX_FUTURE = timedelta(days=365)
MAX_COPIES = 50
MAX_HEADERS = 10
MAX_DISPLAY_NAME_LENGTH = 256
MAX_VARIABLES_BYTES = 256 * 1024  # bytes as JSON
MAX_UNTHREADED_CHARACTERS = 64 * 1024
"""Characters of attachments that are decoded without a thread."""
_TEMPLATE_SENDER_HINT = (
    "an editor can change that default, the operator can allow the domain for the service, or name another `from`"
)
_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_ONE_CLICK = "List-Unsubscribe=One-Click"
_HTTPS_LINK = re.compile(r"<\s*https://[^\s<>]+\s*>", re.IGNORECASE)
"""A link of List-Unsubscribe to which a POST can go (RFC 8058 §3.1)."""
Faults = list[Fault]


async def validate_request(
    request: NotificationRequest,
    caller: Caller,
    rules: ValidationRules,
    templates: TemplateCache,
    now: datetime,
    parse_faults: Sequence[Fault] = (),
) -> ValidRequest | Faults:
    """Validate everything about the request; `parse_faults`, found while parsing, come first among the faults."""
    rights = rules.get_rights(caller)
    recipient, copies, recipient_faults = _validate_recipients(request, rights)
    version, version_faults = await _find_version(templates, request)
    sender, sender_faults = _validate_sender(request, version, rules, rights)
    reply_to, reply_to_faults = _validate_reply_to(request, version)
    attachments, attachment_faults = await _validate_attachments(request)
    times, time_faults = compute_times(request, version, now)
    faults = [
        *parse_faults,
        *recipient_faults,
        *sender_faults,
        *reply_to_faults,
        *(check_headers(request.headers, rules.allowed_headers) if request.headers else ()),
        *check_locale(request.locale),
        *check_content(request.content),
        *version_faults,
        *(check_variables(version, request.variables) if version and request.variables is not None else ()),
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


def _validate_recipients(
    request: NotificationRequest, rights: MailRights
) -> tuple[str | None, list[CopyRecipient], Faults]:
    """Normalise all addresses. Each must be allowed for this caller, and none may be named twice."""
    to = parse_address(request.to, "/to") if request.to is not None else None
    faults = [to] if isinstance(to, Fault) else []
    recipient = to if isinstance(to, str) else None
    copies, copy_faults = _parse_copies(request, recipient)
    named = [("/to", recipient)] if recipient else []
    named += [(copy.pointer, copy.address) for copy in copies]
    refusals = (rights.find_recipient_fault(name, rights.caller.kind, pointer) for pointer, name in named)
    return recipient, copies, [*faults, *copy_faults, *(fault for fault in refusals if fault)]


def _parse_copies(request: NotificationRequest, recipient: str | None) -> tuple[list[CopyRecipient], Faults]:
    """Normalise the addresses of cc and bcc, in their order."""
    named = [(role, index, text) for role in (Role.CC, Role.BCC) for index, text in enumerate(getattr(request, role))]
    if len(named) > MAX_COPIES:
        return [], [Fault("/cc", "too_many", f"cc and bcc have at most {MAX_COPIES} addresses together")]
    copies: list[CopyRecipient] = []
    faults: Faults = []
    seen = {email_address.get_address_key(recipient)} if recipient else set()
    for role, index, text in named:
        pointer = f"/{role}/{index}"
        parsed = parse_address(text, pointer)
        if isinstance(parsed, Fault):
            faults.append(parsed)
            continue
        if email_address.get_address_key(parsed) in seen:
            faults.append(Fault(pointer, "duplicate_recipient", "this address gets the mail already"))
        seen.add(email_address.get_address_key(parsed))
        copies.append(CopyRecipient(role=role, address=parsed, pointer=pointer))
    return copies, faults


def parse_address(text: str, pointer: str) -> str | Fault:
    """Normalise an address, or return its fault."""
    try:
        return email_address.normalise_address(text)
    except InvalidAddressError as error:
        return _build_address_fault(error, pointer)


def _build_address_fault(error: InvalidAddressError, pointer: str) -> Fault:
    code = "smtputf8_not_supported" if isinstance(error, NeedsSmtputf8Error) else "invalid_address"
    return Fault(pointer, code, str(error))


async def _find_version(
    templates: TemplateCache, request: NotificationRequest
) -> tuple[PublishedVersion | None, Faults]:
    """Find the version to pin: the current one, or the one that the request names."""
    if request.template is None:
        return None, []
    current = await templates.get_version(request.template)
    if current is None:
        return None, [Fault("/template", "unknown_template", f"there is no template {request.template!r}")]
    if request.template_version is None or request.template_version == current.number:
        return current, []
    version = await templates.get_version(request.template, request.template_version)
    if version is None:
        detail = f"{request.template} has no published version {request.template_version}"
        return None, [Fault("/template_version", "unknown_template_version", detail)]
    return version, []


def _validate_sender(
    request: NotificationRequest, version: PublishedVersion | None, rules: ValidationRules, rights: MailRights
) -> tuple[Mailbox, Faults]:
    """The mailbox of the From field: from the request, its template or the instance."""
    default = Mailbox(rules.identity.address, rules.identity.name)
    text, hint = request.sender, ""
    if text is None and version and version.sender:
        text, hint = version.sender, f"; it is the default of the template {version.slug}: {_TEMPLATE_SENDER_HINT}"
    if text is None:
        return default, []
    sender, faults = parse_mailbox(text, "/from")
    if sender is None:
        return default, faults
    refusal = rights.find_sender_fault(sender.address, "/from", hint)
    return sender, [*faults, *([refusal] if refusal else [])]


def _validate_reply_to(request: NotificationRequest, version: PublishedVersion | None) -> tuple[Mailbox | None, Faults]:
    text = version.reply_to or None if request.reply_to is None and version else request.reply_to
    return parse_mailbox(text, "/reply_to") if text is not None else (None, [])


def parse_mailbox(text: str, pointer: str) -> tuple[Mailbox | None, Faults]:
    """Parse display name and address of a sender or reply-to field."""
    if fault := subject_values.find_header_fault(text, pointer):
        return None, [fault]
    try:
        name, bare_address = email_address.parse_named_address(text)
    except InvalidAddressError as error:
        return None, [_build_address_fault(error, pointer)]
    too_long = Fault(pointer, "invalid_header_value", f"a name has at most {MAX_DISPLAY_NAME_LENGTH} characters")
    return Mailbox(bare_address, name), [too_long] if name and len(name) > MAX_DISPLAY_NAME_LENGTH else []


async def _validate_attachments(request: NotificationRequest) -> tuple[list[CheckedAttachment], Faults]:
    """Decode and check the attachments, in a thread if they are large."""
    if not request.attachments:
        return [], []
    if sum(len(file["content"]) for file in request.attachments) > MAX_UNTHREADED_CHARACTERS:
        return await asyncio.to_thread(attachment_validation.check_attachments, request.attachments)
    return attachment_validation.check_attachments(request.attachments)


# -- single fields -----------------------------------------------------------------------------------------------------


def check_headers(headers: Mapping[str, str], allowed: Collection[str]) -> list[Fault]:
    """Check custom headers by an allow-list, so that no caller can forge headers on which relays and clients act.

    `allowed` is the operator's part of the list, as `header_names.is_header_allowed` takes it.
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
        return "this header can never be set: a relay may obey it, or headers that begin like it, as a command"
    return "the operator has not allowed this header: the setting NOTIFIER_API__ALLOWED_HEADERS lists the allowed ones"


def _check_header_pairs(headers: Mapping[str, str]) -> Iterator[Fault]:
    """The faults of headers that differ only in case, and of incomplete one-click unsubscribe headers (RFC 8058)."""
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
        detail = "it needs List-Unsubscribe with an https link in angle brackets, which gets the POST (RFC 8058)"
        yield Fault(pointer, "invalid_header_value", detail)


def check_content(content: Mapping[str, str | None] | None) -> list[Fault]:
    """Check that the subject fits into a header field."""
    fault = subject_values.find_header_fault(content["subject"] or "", "/content/subject") if content else None
    return [fault] if fault else []


def check_locale(tag: str | None) -> list[Fault]:
    """Check the form of a language tag (BCP 47)."""
    if tag is None or _LOCALE.fullmatch(tag):
        return []
    return [Fault("/locale", "invalid_locale", "a language tag such as en or fr-CA (BCP 47)")]


def check_variables(version: PublishedVersion, variables: Mapping[str, Any]) -> list[Fault]:
    """Check the variables against the template's schema, and those of the subject against the rules of a header."""
    if len(msgspec.json.encode(variables)) > MAX_VARIABLES_BYTES:
        return [Fault("/variables", "too_large", f"at most {MAX_VARIABLES_BYTES} bytes")]
    return [
        *find_variable_faults(version.variables_schema, variables),
        *subject_values.find_subject_faults(version.subject_variables, variables),
    ]


def compute_times(
    request: NotificationRequest, version: PublishedVersion | None, now: datetime
) -> tuple[DeliveryTimes, Faults]:
    """Compute when to send and when to give up. A `send_at` up to a day in the past means now."""
    faults: Faults = []
    send_at = request.send_at or now
    if send_at.tzinfo is None:
        faults.append(Fault("/send_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        send_at = now
    elif send_at > now + MAX_FUTURE or send_at < now - MAX_PAST:
        faults.append(Fault("/send_at", "time_out_of_range", "at most a day ago and at most a year ahead"))
        send_at = now  # arithmetic with the first and last days of the calendar overflows
    send_at = max(send_at.astimezone(UTC), now)
    lifetime = timedelta(seconds=version.expires_after) if version and version.expires_after else DEFAULT_LIFETIME
    expires_at = request.expires_at or send_at + lifetime
    if expires_at.tzinfo is None:
        faults.append(Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        expires_at = send_at + lifetime
    elif not send_at < expires_at <= send_at + MAX_FUTURE:
        faults.append(Fault("/expires_at", "time_out_of_range", "after send_at, and at most a year after it"))
        expires_at = send_at + lifetime
    return DeliveryTimes(send_at=send_at, expires_at=expires_at.astimezone(UTC)), faults
