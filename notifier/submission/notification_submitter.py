"""Taking a notification in: everything about it is checked before it is written, and all faults are told at once.

It promises that what it accepts can be rendered with the version it pinned; it never sends and never waits for a relay.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier import email_address
from notifier.auth.authenticated_key import Caller
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import (
    Fault,
    IdempotencyInProgressError,
    InvalidRequestError,
    LockTimeoutError,
)
from notifier.ids import generate_id
from notifier.states import Category, Priority, Role, WhenUncertain
from notifier.submission import attachment_store, attachment_validation, idempotency_keys, request_validation
from notifier.submission.attachment_validation import CheckedAttachment
from notifier.submission.notification_writer import (
    EarlierNotification,
    Idempotency,
    IdempotencyError,
    NewNotification,
    SubmissionResult,
    find_earlier_notifications,
)
from notifier.submission.request_validation import CopyRecipient, DeliveryTimes, NotificationRequest
from notifier.submission.validation_rules import ValidationRules
from notifier.templating.template_usage import TemplateKeyUse
from notifier.templating.version_store import PublishedVersion, TemplateCache
from notifier.throttle.queue_forecast import QueueForecast, QueueTooLongError

MAX_UNTHREADED_CHARACTERS = 64 * 1024
"""Characters of attachments that are decoded without a thread."""
_TEMPLATE_SENDER_HINT = (
    "which whoever edits templates can change, as the operator can the domains of the service; or name another `from`"
)


@dataclass(frozen=True)
class ValidRequest:
    """A request without faults, in the forms in which it is stored."""

    now: datetime
    recipient: str
    copies: list[CopyRecipient]
    sender: tuple[str | None, str]  # display name, address
    reply_to: tuple[str | None, str | None]
    version: PublishedVersion | None  # None: it has content of its own
    files: list[CheckedAttachment]
    times: DeliveryTimes


class NotificationSubmitter:
    """Checks requests and hands them to the intake."""

    def __init__(
        self,
        database: Database,
        write: Callable[[NewNotification], Awaitable[SubmissionResult | IdempotencyError]],
        *,
        shelf: TemplateCache,
        terms: ValidationRules,
        forecast: QueueForecast,
        clock: Clock,
    ) -> None:
        self._database = database
        self._write = write  # commits before it returns
        self._shelf = shelf
        self._terms = terms
        self._forecast = forecast
        self._clock = clock

    async def submit(
        self,
        caller: Caller,
        wanted: NotificationRequest,
        idempotency: Idempotency | None,
        *,
        faults: list[Fault] | None = None,
    ) -> SubmissionResult:
        """Accept the request durably. `faults` are those already found while parsing.

        Raises `InvalidRequestError` with all faults, `QueueTooLongError`, `IdempotencyKeyReusedError`,
        `IdempotencyInProgressError` or `DatabaseUnavailableError`; nothing was written, but after the last only a
        retry with the key can tell.
        """
        idempotency = idempotency_keys.scope_idempotency(caller, idempotency)
        try:
            draft = await self.prepare(caller, wanted, idempotency, faults or [])
            self.check_queue_time(draft)
        except (InvalidRequestError, QueueTooLongError):
            # What was right when it was accepted stays accepted, though its template may have gone since.
            if idempotency and (replay := await self._replay(caller, idempotency)):
                return replay
            raise
        try:
            result = await self._write(draft)
        except LockTimeoutError as error:
            if idempotency is None:
                raise
            raise IdempotencyInProgressError from error
        if not isinstance(result, SubmissionResult):
            raise result
        self.record_template_use(caller, [draft])
        return result

    def record_template_use(self, caller: Caller, drafts: Iterable[NewNotification]) -> None:
        """The caller uses the templates of these."""
        if self._shelf.uses is None:
            return
        for template_id in {draft.row["template_id"] for draft in drafts}:
            if template_id is not None:
                self._shelf.uses.note_use(TemplateKeyUse(template_id, caller.key_id, caller.service_id))

    def check_queue_time(self, draft: NewNotification, *, ahead: int = 0) -> None:
        """Raise `QueueTooLongError` if what is due before its last copy leaves that no time.

        `ahead`: mails of the same request that are sent before it.
        """
        row, ahead = draft.row, ahead + len(draft.copies)
        self._forecast.check(row["priority"], row["service_id"], row["expires_at"], ahead=ahead)

    def is_outdated(self, earlier: EarlierNotification) -> bool:
        """True if its idempotency key does not count any more."""
        return earlier.is_outdated(self._clock.now(), self._terms.key_lifetime)

    async def _replay(self, caller: Caller, idempotency: Idempotency) -> SubmissionResult | None:
        async with self._database.read() as connection:
            found = await find_earlier_notifications(connection, caller.service_id, [idempotency.key])
        earlier = next(iter(found.values()), None)
        if earlier is None or self.is_outdated(earlier):
            return None
        result = earlier.replayed(idempotency.request_hash)
        if not isinstance(result, SubmissionResult):
            raise result
        return result

    async def _checked(self, caller: Caller, wanted: NotificationRequest, parsing_faults: list[Fault]) -> ValidRequest:
        """What the request comes to, or all that is wrong with it."""
        faults = list(parsing_faults)
        recipient = request_validation.parse_address(wanted.to, "/to", faults)
        copies = request_validation.parse_copies(wanted, recipient, faults)
        faults += self._forbidden(caller, [("/to", recipient)] if recipient else [])
        faults += self._forbidden(caller, [(copy.pointer, copy.address) for copy in copies])
        sender = self._sender(caller, wanted.sender, faults)
        reply_to = _parse_reply_to(wanted.reply_to, faults)
        faults += request_validation.check_headers(wanted.headers, self._terms.allowed_headers)
        faults += request_validation.check_locale(wanted.locale)
        faults += request_validation.check_content(wanted.content)
        version = await request_validation.find_version(self._shelf, wanted, faults)
        if version and wanted.variables is not None:
            faults += request_validation.check_variables(version, wanted.variables)
        if version and version.sender and wanted.sender is None:
            sender = self._sender(
                caller, version.sender, faults, f"; it is the default of {version.slug}, {_TEMPLATE_SENDER_HINT}"
            )
        if version and version.reply_to and wanted.reply_to is None:
            reply_to = _parse_reply_to(version.reply_to, faults)
        files = await _check_files(wanted, faults)
        now = self._clock.now()
        times = request_validation.compute_times(wanted, version, now, faults)
        if faults or recipient is None or (version is None and wanted.content is None):
            raise InvalidRequestError(faults)
        return ValidRequest(now, recipient, copies, sender, reply_to, version, files, times)

    def _forbidden(self, caller: Caller, recipients: Sequence[tuple[str, str]]) -> Iterator[Fault]:
        """Those whom this instance, or this key, must not mail, and where they stand; a test key mails nobody."""
        rights = self._terms.get_rights(caller)
        for pointer, recipient in recipients:
            if fault := rights.find_recipient_fault(recipient, caller.kind, pointer):
                yield fault

    async def prepare(
        self,
        caller: Caller,
        wanted: NotificationRequest,
        idempotency: Idempotency | None,
        faults: list[Fault],
        *,
        batch_id: UUID | None = None,
    ) -> NewNotification:
        """What to write for the request. Raises `InvalidRequestError` with all faults, also those given."""
        checked = await self._checked(caller, wanted, faults)
        row, content = self._row(caller, wanted, checked), _build_content(wanted, checked)
        row |= {
            "batch_id": batch_id,
            "idempotency_key": idempotency.key if idempotency else None,
            "request_hash": idempotency.request_hash if idempotency else None,
        }
        return NewNotification(
            row=row,
            content=content,
            entry_id=generate_id(),
            files=checked.files,
            key_lifetime=self._terms.key_lifetime,
            copies=tuple(_build_copy_row(row, copy) for copy in checked.copies),
        )

    def _row(self, caller: Caller, wanted: NotificationRequest, checked: ValidRequest) -> dict[str, Any]:
        now, id_, version = checked.now, generate_id(), checked.version
        name, sender = checked.sender
        return {
            "id": id_,
            "service_id": caller.service_id,
            "template_id": version.template_id if version else None,
            "template_version_id": version.id if version else None,
            "parent_id": None,
            "role": Role.TO,
            "kind": caller.kind,
            "category": version.category if version else Category.TRANSACTIONAL,
            "recipient": checked.recipient,
            "address_key": email_address.get_address_key(checked.recipient),
            "from_name": name,
            "from_address": sender,
            "reply_to_name": checked.reply_to[0],
            "reply_to_address": checked.reply_to[1],
            "envelope_from": self._terms.identity.bounce_address or sender,
            "locale": wanted.locale,
            "priority": wanted.priority or (version.priority if version else Priority.NORMAL),
            "message_id": f"<{id_.hex}@{email_address.get_address_domain(sender)}>",
            "message_date": max(now, checked.times.send_at),
            "send_at": checked.times.send_at,
            "expires_at": checked.times.expires_at,
            "created_at": now,
            "updated_at": now,
            "uncertain_at": None,
            "when_uncertain": wanted.when_uncertain or (version.when_uncertain if version else WhenUncertain.RESEND),
            "created_by": caller.actor_name,
            "tags": list(dict.fromkeys(wanted.tags)) or None,
            "meta": dict(wanted.metadata) or None,
        }

    def _sender(
        self, caller: Caller, text: str | None, faults: list[Fault], because: str = ""
    ) -> tuple[str | None, str]:
        """Name and address of the From field, from the request, its template (`because`) or the instance."""
        default = (self._terms.identity.name, self._terms.identity.address)
        if text is None:
            return default
        name, sender = request_validation.parse_mailbox(text, "/from", faults)
        if sender is None:
            return default
        if fault := self._terms.get_rights(caller).find_sender_fault(sender, "/from", because):
            faults.append(fault)
        return name, sender


def _parse_reply_to(text: str | None, faults: list[Fault]) -> tuple[str | None, str | None]:
    return request_validation.parse_mailbox(text, "/reply_to", faults) if text is not None else (None, None)


async def _check_files(wanted: NotificationRequest, faults: list[Fault]) -> list[CheckedAttachment]:
    """The attachments, checked in a thread if they are large."""
    if not wanted.attachments:
        return []
    size = sum(len(one["content"]) for one in wanted.attachments)
    if size > MAX_UNTHREADED_CHARACTERS:
        files, bad = await asyncio.to_thread(attachment_validation.check_attachments, wanted.attachments)
    else:
        files, bad = attachment_validation.check_attachments(wanted.attachments)
    faults += bad
    return files


def _build_content(wanted: NotificationRequest, checked: ValidRequest) -> dict[str, Any]:
    named = [copy.address for copy in checked.copies if copy.role is Role.CC]
    return {
        "variables": dict(wanted.variables or {}),
        "headers": dict(wanted.headers),
        "content": dict(wanted.content) if wanted.content else None,
        "addressed_to": checked.recipient if checked.copies else None,
        "cc": named or None,
        "attachments": attachment_store.describe_attachments(checked.files),
    }


def _build_copy_row(row: dict[str, Any], copy: CopyRecipient) -> dict[str, Any]:
    """The same mail to somebody else: with an envelope and a status of its own, and the content of the first."""
    return row | {
        "id": generate_id(),
        "parent_id": row["id"],
        "role": copy.role,
        "recipient": copy.address,
        "address_key": email_address.get_address_key(copy.address),
        "idempotency_key": None,
        "request_hash": None,
        "entry_id": generate_id(),
    }
