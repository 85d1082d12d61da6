"""Taking a notification in: everything about it is checked before it is written, and all faults are told at once.

It promises that what it accepts can be rendered with the version it pinned; it never sends and never waits for a relay.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from notifier import address, suppression
from notifier.address import InvalidAddressError, NeedsSmtputf8Error
from notifier.auth.keys import Caller
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import (
    Fault,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    LockTimeoutError,
)
from notifier.ids import new_id
from notifier.notification.recipients import RecipientPolicy
from notifier.notification.write import Draft, Idempotency, Submitted, find_replay
from notifier.rendering.headers import FORBIDDEN
from notifier.rendering.variables import at_path, escape_pointer, faults_in
from notifier.states import Priority, Reason, Status
from notifier.templating import store as templates
from notifier.templating.store import Published

EXPIRES_AFTER = timedelta(hours=72)
LONGEST_PAST = timedelta(hours=24)
LONGEST_FUTURE = timedelta(days=365)
MOST_HEADERS = 10
LONGEST_NAME = 256
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADERS_ALLOWED = frozenset(
    {"list-unsubscribe", "list-id", "references", "in-reply-to", "feedback-id", "importance", "precedence"}
)
_LOCALE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a caller asks for, parsed but not yet checked; fields that did not parse are left at their defaults."""

    to: str | None = None
    sender: str | None = None  # "Name <address>" or an address
    reply_to: str | None = None
    template: str | None = None
    template_version: int | None = None
    variables: Mapping[str, Any] | None = field(default_factory=dict)
    locale: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    send_at: datetime | None = None
    expires_at: datetime | None = None
    priority: Priority | None = None


@dataclass(frozen=True, kw_only=True)
class SenderIdentity:
    """Who mail comes from unless a notification says otherwise."""

    name: str | None
    address: str
    bounce_address: str | None  # envelope sender; None: the From address


class Submitter:
    """Checks requests and hands them to the intake."""

    def __init__(
        self,
        database: Database,
        write: Callable[[Draft], Awaitable[Submitted | IdempotencyKeyReusedError]],
        *,
        identity: SenderIdentity,
        policy: RecipientPolicy,
        clock: Clock,
    ) -> None:
        self._database = database
        self._write = write  # commits before it returns
        self._identity = identity
        self._policy = policy
        self._clock = clock

    async def submit(
        self, caller: Caller, wanted: Wanted, idempotency: Idempotency | None, *, faults: list[Fault] | None = None
    ) -> Submitted:
        """Accept the request durably. `faults` are those already found while parsing.

        Raises `InvalidRequestError` with all faults, `IdempotencyKeyReusedError`, `IdempotencyInProgressError` or
        `DatabaseUnavailableError`; in each case nothing was written.
        """
        if idempotency and (replay := await self._replay(caller, idempotency)):
            return replay
        draft = await self._checked(caller, wanted, idempotency, faults or [])
        try:
            result = await self._write(draft)
        except LockTimeoutError as error:
            raise IdempotencyInProgressError from error
        if isinstance(result, IdempotencyKeyReusedError):
            raise result
        return result

    async def _replay(self, caller: Caller, idempotency: Idempotency) -> Submitted | None:
        async with self._database.read() as connection:
            return await find_replay(connection, caller.service_id, idempotency)

    async def _checked(
        self, caller: Caller, wanted: Wanted, idempotency: Idempotency | None, parsing_faults: list[Fault]
    ) -> Draft:
        """The draft to write, or all that is wrong with the request."""
        now = self._clock.now()
        faults = list(parsing_faults)
        recipient = _address_of(wanted.to, "/to", faults)
        if recipient and not self._policy.allows(recipient):
            faults.append(Fault("/to", "recipient_not_allowed", self._policy.explanation()))
        sender = self._sender(caller, wanted.sender, faults)
        reply_to = _mailbox_of(wanted.reply_to, "/reply_to", faults) if wanted.reply_to else (None, None)
        faults += _faults_in_headers(wanted.headers)
        if wanted.locale is not None and not _LOCALE.fullmatch(wanted.locale):
            faults.append(Fault("/locale", "invalid_locale", "a language tag such as en or fr-CA (BCP 47)"))
        async with self._database.read() as connection:
            version = await _version_of(connection, wanted, faults)
            barred = await suppression.suppressed(connection, [recipient] if recipient else [])
        if version and wanted.variables is not None:
            faults += _faults_in_variables(version, wanted.variables)
        times = _times_of(wanted, version, now, faults)
        if faults or version is None or recipient is None:
            raise InvalidRequestError(faults)
        id_ = new_id()
        row = {
            "id": id_,
            "service_id": caller.service_id,
            "template_version_id": version.id,
            "recipient": recipient,
            "from_name": sender[0],
            "from_address": sender[1],
            "reply_to_name": reply_to[0],
            "reply_to_address": reply_to[1],
            "envelope_from": self._identity.bounce_address or sender[1],
            "locale": wanted.locale,
            "priority": wanted.priority or version.priority,
            "status": Status.SUPPRESSED if barred else Status.QUEUED,
            "reason": Reason.RECIPIENT_SUPPRESSED if barred else None,
            "detail": f"the address is suppressed: {next(iter(barred.values()))}" if barred else None,
            "message_id": f"<{id_.hex}@{address.domain(sender[1])}>",
            "message_date": max(now, times.send_at),
            "send_at": times.send_at,
            "expires_at": times.expires_at,
            "created_at": now,
            "updated_at": now,
            "uncertain_at": None,
            "created_by": caller.actor,
            "idempotency_key": idempotency.key if idempotency else None,
            "request_hash": idempotency.request_hash if idempotency else None,
        }
        return Draft(
            row=row, variables=dict(wanted.variables or {}), headers=dict(wanted.headers), due_at=times.send_at
        )

    def _sender(self, caller: Caller, text: str | None, faults: list[Fault]) -> tuple[str | None, str]:
        """Name and address of the From field, from the request or the instance."""
        default = (self._identity.name, self._identity.address)
        if text is None:
            return default
        name, sender = _mailbox_of(text, "/from", faults)
        if sender is None:
            return default
        if sender != default[1] and address.domain(sender) not in caller.from_domains:
            detail = f"the service {caller.service} may not send from {address.domain(sender)}"
            faults.append(Fault("/from", "from_not_allowed", detail))
        return name, sender


@dataclass(frozen=True, kw_only=True)
class _Times:
    send_at: datetime
    expires_at: datetime


async def _version_of(connection: Any, wanted: Wanted, faults: list[Fault]) -> Published | None:
    """The version to pin: the current one, or the one asked for."""
    if wanted.template is None:
        return None
    current = await templates.current(connection, wanted.template)
    if current is None:
        faults.append(Fault("/template", "unknown_template", f"there is no template {wanted.template!r}"))
        return None
    if wanted.template_version is None or wanted.template_version == current.number:
        return current
    version = await templates.numbered(connection, wanted.template, wanted.template_version)
    if version is None:
        detail = f"{wanted.template} has no published version {wanted.template_version}"
        faults.append(Fault("/template_version", "unknown_template_version", detail))
    return version


def _address_of(text: str | None, pointer: str, faults: list[Fault]) -> str | None:
    if text is None:
        return None
    try:
        return address.normalised(text)
    except NeedsSmtputf8Error as error:
        faults.append(Fault(pointer, "smtputf8_not_supported", str(error)))
    except InvalidAddressError as error:
        faults.append(Fault(pointer, "invalid_address", str(error)))
    return None


def _mailbox_of(text: str, pointer: str, faults: list[Fault]) -> tuple[str | None, str | None]:
    """Display name and address of a sender or reply-to field."""
    if fault := _forbidden(text, pointer):
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


def _forbidden(value: str, pointer: str) -> Fault | None:
    found = FORBIDDEN.search(value)
    if found is None:
        return None
    return Fault(pointer, "invalid_header_value", f"U+{ord(found[0]):04X} cannot stand in a mail header")


def _faults_in_headers(headers: Mapping[str, str]) -> list[Fault]:
    """Custom headers: an allow-list plus `X-…`, so that no caller can forge what relays and clients act upon."""
    faults = []
    if len(headers) > MOST_HEADERS:
        faults.append(Fault("/headers", "too_many_headers", f"at most {MOST_HEADERS} custom headers"))
    for name, value in headers.items():
        pointer = f"/headers/{escape_pointer(name)}"
        allowed = name.lower() in _HEADERS_ALLOWED or name.lower().startswith("x-")
        if not _HEADER_NAME.fullmatch(name) or not allowed or name.lower().startswith("x-notifier-"):
            faults.append(Fault(pointer, "header_not_allowed", "this header cannot be set"))
        elif fault := _forbidden(value, pointer):
            faults.append(fault)
        elif len(value) > 900 or (name.lower() in _HEADERS_ALLOWED and not value.isascii()):  # noqa: PLR2004
            faults.append(Fault(pointer, "invalid_header_value", "at most 900 characters; ASCII unless it is X-…"))
    return faults


def _faults_in_variables(version: Published, variables: Mapping[str, Any]) -> list[Fault]:
    """What the template cannot take, and line breaks where the subject would show them."""
    faults = faults_in(version.variables_schema, variables)
    for path in version.subject_variables:
        value = at_path(variables, path)
        pointer = "/variables/" + "/".join(escape_pointer(key) for key in path)
        if isinstance(value, str) and (fault := _forbidden(value, pointer)):
            faults.append(fault)
    return faults


def _times_of(wanted: Wanted, version: Published | None, now: datetime, faults: list[Fault]) -> _Times:
    """When to send and when to give up; a `send_at` up to a day in the past means now."""
    send_at = wanted.send_at or now
    if send_at.tzinfo is None:
        faults.append(Fault("/send_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        send_at = now
    elif send_at > now + LONGEST_FUTURE or send_at < now - LONGEST_PAST:
        faults.append(Fault("/send_at", "time_out_of_range", "at most a day ago and at most a year ahead"))
    send_at = max(send_at.astimezone(UTC), now)
    lifetime = timedelta(seconds=version.expires_after) if version and version.expires_after else EXPIRES_AFTER
    expires_at = wanted.expires_at or send_at + lifetime
    if expires_at.tzinfo is None:
        faults.append(Fault("/expires_at", "naive_time", "a time needs an offset, such as Z or +01:00"))
        expires_at = send_at + lifetime
    elif not send_at < expires_at <= send_at + LONGEST_FUTURE:
        faults.append(Fault("/expires_at", "time_out_of_range", "after send_at, and at most a year after it"))
    return _Times(send_at=send_at, expires_at=expires_at.astimezone(UTC))
