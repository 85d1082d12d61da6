"""The reply models of notifications, and how the domain's views become them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from notifier import email_address
from notifier.api import pagination
from notifier.api.fields import AwareTime
from notifier.api.service_choice import ServiceName
from notifier.lookup.answer_table import AnswerAction, AnswerKind
from notifier.lookup.content_preview import ContentView
from notifier.lookup.index_walk import NotificationFilter
from notifier.lookup.notification_view import AttemptView, CopyView, NotificationView, TimelineItem
from notifier.lookup.wait_explanation import Because
from notifier.states import EntryState, KeyKind, Priority, Reason, Role, Status, WhenUncertain

SCHEDULED = "scheduled"
"""How `queued` is shown while `send_at` is in the future."""

ID_PREFIX_PATTERN = "^[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{0,4}){0,3}(-?[0-9A-Fa-f]{0,12})$"

ShownStatus = TypeAliasType("ShownStatus", Literal[
    "scheduled", "queued", "deferred", "sent", "delivered", "bounced", "complained", "failed", "expired", "suppressed",
    "cancelled", "unknown",
])  # fmt: skip
"""The values of `Status`, and `scheduled` for a queued notification that is not due yet."""


class AcceptedOut(BaseModel):
    """An accepted notification: it is committed."""

    id: UUID
    status: ShownStatus
    created_at: datetime


class AttemptOut(BaseModel):
    """One attempt to deliver the mail."""

    number: int
    started_at: datetime
    duration_ms: int | None = Field(description="Null, like the relay, if the sender crashed.")
    relay: str | None
    phase: str
    outcome: str
    code: int | None
    enhanced_code: str | None
    meaning: str | None = Field(description="What the codes of a refusal mean (RFC 3463); null if they do not tell.")
    reply: str


class CopyOut(BaseModel):
    """A copy: the same mail to another recipient."""

    id: UUID
    role: Role
    to: str
    status: ShownStatus


class NotificationOut(BaseModel):
    """A notification and its status."""

    id: UUID
    service: str | None = Field(description="The name of the service that submitted it.")
    status: ShownStatus
    reason: Reason | None
    detail: str | None
    to: str
    role: Role
    parent_id: UUID | None = Field(description="Of a copy: the notification that was copied.")
    batch_id: UUID | None
    kind: KeyKind = Field(description="The kind of the key that submitted it: mail of a test key reaches nobody.")
    template: str | None = Field(description="Null, like its version, for a notification with `content`.")
    template_version: int | None
    locale: str | None
    priority: Priority
    message_id: str
    created_at: datetime
    updated_at: datetime
    send_at: datetime
    expires_at: datetime
    uncertain_at: datetime | None
    when_uncertain: WhenUncertain | None = Field(description="Null: accepted by an older release, and held.")
    next_attempt_at: datetime | None
    held: bool = Field(description="True: it waits for a person, because nobody knows whether a relay took it.")
    tags: list[str]
    metadata: dict[str, str]


class NotificationWithAttemptsOut(NotificationOut):
    """A notification with its status, every attempt, and its copies."""

    attempts: list[AttemptOut]
    copies: list[CopyOut]
    content_until: datetime | None = Field(
        description="Until when its content is kept at least. Null: it is erased, or it is kept while it waits."
    )


class HappenedOut(BaseModel):
    """An event of a notification."""

    at: datetime
    kind: str = Field(
        description="`accepted`, `scheduled`, `attempt`, `uncertain`, a change (`cancelled`, `retried`, `resolved`), "
        "or the status in which it ended."
    )
    detail: str | None
    actor: str | None = Field(description="Who did it: `key:<id>`, `staff:<id>` or `operator:<name>`.")
    actor_name: str | None = Field(description="The same, as people call them.")
    attempt: AttemptOut | None


class TimelineOut(BaseModel):
    """The events of a notification, oldest first."""

    events: list[HappenedOut]


class PageOut(BaseModel):
    """A page, newest first; `next` is the cursor of the following page, null on the last one.

    A page before the last one may have fewer entries than `limit`, or none: a search for something rare ends early.
    """

    notifications: list[NotificationOut]
    next: UUID | None


def get_shown_status(status: Status, send_at: datetime, now: datetime) -> str:
    """Get the status as callers see it."""
    return SCHEDULED if status is Status.QUEUED and send_at > now else status.value


def build_notification_reply(
    view: NotificationView, now: datetime, content_until: datetime | None = None
) -> dict[str, Any]:
    """Build the reply for a notification; a list does not say until when the content is kept."""
    fields = {name: value for name, value in vars(view).items() if name in NotificationOut.model_fields}
    return fields | {
        "to": view.recipient,
        "status": get_shown_status(view.status, view.send_at, now),
        "next_attempt_at": view.due_at,
        "held": view.entry_state is EntryState.HELD,
        "tags": view.tags or [],
        "metadata": view.meta or {},
        "copies": [_build_copy_reply(copy, now) for copy in view.copies],
        "attempts": [build_attempt_reply(attempt) for attempt in view.attempts],
        "content_until": content_until,
    }


def _build_copy_reply(view: CopyView, now: datetime) -> dict[str, Any]:
    return {
        "id": view.id,
        "role": view.role,
        "to": view.recipient,
        "status": get_shown_status(view.status, view.send_at, now),
    }


def build_event_reply(item: TimelineItem, names: Mapping[str, str]) -> dict[str, Any]:
    """Build the reply for an event; `names`: of the actors."""
    return vars(item) | {
        "actor_name": names.get(item.actor) if item.actor else None,
        "attempt": build_attempt_reply(item.attempt) if item.attempt else None,
    }


def build_attempt_reply(attempt: AttemptView) -> dict[str, Any]:
    """Build the reply for an attempt."""
    return vars(attempt) | {"meaning": attempt.meaning}


_COPIED_FILTERS = {"template", "tag", "batch_id", "idempotency_key", "created_after", "created_before", "copies"}
"""The filters of a query that the domain's filter has unchanged."""


class NotificationQuery(pagination.PageQuery):
    """Which notifications are listed."""

    status: ShownStatus | None = None
    to: Annotated[
        str | None, Query(max_length=320, pattern=pagination.NO_NUL, description="The recipient's address.")
    ] = None
    template: Annotated[str | None, Query(max_length=64, pattern=pagination.NO_NUL)] = None
    tag: Annotated[str | None, Query(max_length=64, pattern=pagination.NO_NUL)] = None
    batch_id: UUID | None = None
    idempotency_key: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=255,
            pattern=pagination.NO_NUL,
            description="The key with which it was submitted, exactly and without quotes.",
        ),
    ] = None
    id_prefix: Annotated[
        str | None,
        Query(max_length=36, pattern=ID_PREFIX_PATTERN, description="The first digits of the id, at least eight."),
    ] = None
    created_after: Annotated[AwareTime | None, Query(description="At this time or later.")] = None
    created_before: Annotated[AwareTime | None, Query(description="Before this time.")] = None
    copies: Annotated[bool, Query(description="List copies as well.")] = False
    service: ServiceName = None

    @property
    def is_lookup(self) -> bool:
        """True if it asks for certain notifications, of which the caller may have been told just now."""
        return self.idempotency_key is not None or self.id_prefix is not None

    def build_filter(self) -> NotificationFilter:
        """Build the domain's filter."""
        is_queued = self.status in (SCHEDULED, Status.QUEUED)
        return NotificationFilter(
            status=Status.QUEUED if is_queued else Status(self.status) if self.status else None,
            scheduled=self.status == SCHEDULED if is_queued else None,
            to=_normalise_recipient(self.to),
            id_prefix=self.id_prefix.replace("-", "").lower() if self.id_prefix else None,
            **self.model_dump(include=_COPIED_FILTERS),
        )


def build_content_reply(view: ContentView) -> dict[str, Any]:
    """Build the reply for a mail."""
    return {name: value for name, value in vars(view).items() if name != "source"} | {"size": len(view.source)}


def _normalise_recipient(to: str | None) -> str | None:
    """Normalise an address as it is stored; a text that is no address is searched unchanged, and not found."""
    try:
        return email_address.normalise_address(to) if to else None
    except email_address.InvalidAddressError:
        return to


class FileOut(BaseModel):
    """A file that is attached to the mail."""

    filename: str
    content_type: str
    content_id: str | None
    size: int
    sha256: str


class ContentOut(BaseModel):
    """A mail, part by part."""

    subject: str
    html: str | None = Field(description="Null for a mail that has a text part only.")
    text: str
    variables: dict[str, Any] = Field(description="Of the request; values of the sample stand for the secret ones.")
    attachments: list[FileOut]
    size: int = Field(description="Bytes of the whole mail.")
    sha256: str = Field(description="Of the whole mail, in hexadecimal digits.")
    identical: bool | None = Field(
        description="True if a relay got exactly these bytes; null before the first attempt."
    )
    secrets_erased: bool = Field(
        description="True if the secret variables are erased: values of the template's sample stand in their place."
    )


class CauseOut(BaseModel):
    """One reason why a notification waits."""

    code: Because
    detail: str
    until: datetime | None = Field(description="Null: not known, or it does not end by itself.")


class AnswerOut(BaseModel):
    """Whether the mail arrived, in words, and what to do now."""

    kind: AnswerKind
    sentence: str = Field(description="Why, for people. Times are in UTC.")
    next_step: str = Field(description="What to do now, for people.")
    actions: list[AnswerAction] = Field(description="What can be done: `lift` is about the suppression.")


class ExplanationOut(BaseModel):
    """Whether a notification arrived, and why it is not sent yet."""

    id: UUID
    status: ShownStatus
    answer: AnswerOut
    waiting: bool
    next_attempt_at: datetime | None = Field(
        description="The earliest time of the next attempt; null during an attempt, while it is held, and at the end."
    )
    expires_at: datetime
    because: list[CauseOut] = Field(description="Every reason; empty if it is due and first in the queue.")
