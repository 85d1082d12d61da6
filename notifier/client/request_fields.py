"""The fields of requests as typed keywords, and how they are written as JSON.

A value that is None is left out. Fields that this version does not know are sent unchanged.
"""

import base64
import json
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Required, Self, TypedDict
from uuid import UUID, uuid4

from notifier.client.errors import UnsendableError

Priority = Literal["high", "normal", "bulk"]
OnError = Literal["reject_all", "skip_invalid"]
WhenUncertain = Literal["resend", "hold"]
Resolution = Literal["sent", "failed", "resend"]
Scope = Literal["all", "marketing"]
KeyKind = Literal["live", "team", "test"]


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """An attachment of a mail."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str | None = None  # None: guessed from the filename
    content_id: str | None = None  # of an inline image, which the HTML names by `cid:`

    @classmethod
    def from_path(cls, path: str | Path, *, content_type: str | None = None, content_id: str | None = None) -> Self:
        """Read a file; its name becomes the filename."""
        file = Path(path)
        return cls(filename=file.name, content=file.read_bytes(), content_type=content_type, content_id=content_id)


class MailContent(TypedDict, total=False):
    """The content of a mail without a template."""

    subject: Required[str]
    html: str
    text: str


class _Fields(TypedDict, total=False):
    """The fields that all notifications have."""

    cc: Sequence[str]
    bcc: Sequence[str]
    from_: str | None
    reply_to: str | None
    template: str | None
    template_version: int | None
    content: MailContent | None
    variables: Mapping[str, Any]
    locale: str | None
    attachments: Sequence[Attachment]
    headers: Mapping[str, str]
    tags: Sequence[str]
    metadata: Mapping[str, str]
    send_at: datetime | None
    expires_at: datetime | None
    priority: Priority | None
    when_uncertain: WhenUncertain | None


class Mail(_Fields):
    """A notification to send."""

    to: str


class Defaults(_Fields, total=False):
    """The default fields of the notifications of a batch."""

    to: str


class BatchItem(Defaults, total=False):
    """A notification of a batch; fields of the defaults may be left out."""

    idempotency_key: str | None


class Changes(TypedDict, total=False):
    """The changes of a waiting notification."""

    variables: Mapping[str, Any]
    send_at: datetime
    expires_at: datetime
    priority: Priority


class NotificationFilter(TypedDict, total=False):
    """Which notifications to list, and which page of them."""

    limit: int  # items of a page
    before: str | UUID | None  # the `next` of the page before
    status: str | None
    to: str | None
    template: str | None
    tag: str | None
    batch_id: str | UUID | None
    idempotency_key: str | None  # of the request that submitted it
    created_after: datetime | None
    created_before: datetime | None
    id_prefix: str | None  # the first digits of the id, at least eight
    copies: bool  # True: with those in cc and bcc
    service: str | None  # for admin keys


class NewSuppression(TypedDict, total=False):
    """The fields of a new suppression."""

    scope: Required[Scope]
    reason: str
    detail: str
    expires_at: datetime | None


class SuppressionFilter(TypedDict, total=False):
    """Which suppressions to list, and which page of them."""

    limit: int  # items of a page
    before: str | UUID | None  # the `next` of the page before
    address: str | None
    scope: Scope | None
    reason: str | None
    include_expired: bool
    service: str | None  # for admin keys


class NewKey(TypedDict, total=False):
    """The fields of a new key."""

    name: Required[str]
    kind: KeyKind
    scopes: Sequence[str]
    expires_at: datetime | None
    rate_per_minute: int | None


class AuditFilter(TypedDict, total=False):
    """Which audit records to list, and which page of them."""

    limit: int  # items of a page
    before: str | UUID | None  # the `next` of the page before
    object_kind: str | None
    object_id: str | UUID | None
    actor: str | None


def complete_key(idempotency_key: str | None) -> str:
    """Return the idempotency key, or generate one."""
    return str(uuid4()) if idempotency_key is None else idempotency_key


def build_query(fields: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Build the query of a URL; a list is a parameter that is repeated."""
    return {
        name: [*map(_format_query_value, value)] if isinstance(value, list) else _format_query_value(value)
        for name, value in rename_fields(fields).items()
    }


def _format_query_value(value: Any) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    return json.dumps(value) if isinstance(value, bool) else str(value)


def build_body(fields: Mapping[str, Any]) -> bytes:
    """Write the request as JSON. Raises `UnsendableError` if JSON has no such value."""
    try:
        return json.dumps(rename_fields(fields), default=_encode, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, UnsendableError):
            raise
        raise UnsendableError(f"the request cannot be written as JSON: {error}") from error


def rename_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Rename fields as the API calls them, and drop those that are None."""
    return {name.rstrip("_"): value for name, value in fields.items() if value is not None}


def _encode(value: Any) -> Any:
    """Encode a value that JSON has no type for."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Attachment):
        return _encode_attachment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise UnsendableError(f"JSON has no type for {type(value).__name__}: convert it to text or a number")


def format_time(time: datetime) -> str:
    """Write a time for the API. Raises `UnsendableError` if it has no time zone."""
    if time.tzinfo is None:
        raise UnsendableError(f"{time.isoformat()} has no time zone: make it aware, as with datetime.now(UTC)")
    return time.isoformat()


def _encode_attachment(attachment: Attachment) -> dict[str, str]:
    guessed = mimetypes.guess_type(attachment.filename)[0]
    fields = {
        "filename": attachment.filename,
        "content": base64.b64encode(attachment.content).decode(),
        "content_type": attachment.content_type or guessed or "application/octet-stream",
        "content_id": attachment.content_id,
    }
    return {name: value for name, value in fields.items() if value is not None}
