"""The calls about notifications and batches; both clients use them."""

from collections.abc import Sequence
from typing import Any, Unpack
from uuid import UUID

from notifier.client.api_call import (
    GET,
    PATCH,
    POST,
    Call,
    HttpResponse,
    PageCall,
    build_call,
    decode_object,
    read_as,
    read_content,
    read_page,
    read_replayable,
    read_replies,
    read_reply,
)
from notifier.client.errors import MalformedReplyError
from notifier.client.notification_reply import (
    AcceptedResult,
    Batch,
    BatchResult,
    Content,
    DryRun,
    Event,
    Explanation,
    Notification,
    RefusedResult,
    Submitted,
    SubmittedBatch,
)
from notifier.client.request_fields import (
    BatchItem,
    Changes,
    Defaults,
    Mail,
    NotificationFilter,
    OnError,
    Resolution,
    complete_key,
    rename_fields,
)


def send_notification(*, idempotency_key: str | None = None, **mail: Unpack[Mail]) -> Call[Submitted]:
    """Submit a notification. When this returns, it is committed and will not be lost.

    Without an idempotency key one is generated, so that a repeated request never makes a second mail. Pass your own,
    such as the id of an order, if your program may send the same mail again.
    """
    key = complete_key(idempotency_key)
    return build_call(POST, ("notifications",), read_replayable(Submitted), fields=mail, idempotency_key=key)


def dry_run_notification(**mail: Unpack[Mail]) -> Call[DryRun]:
    """Check a notification like `send`, without writing or sending anything."""
    query = {"dry_run": True}
    return build_call(POST, ("notifications",), read_as(DryRun), query=query, fields=mail, is_idempotent=True)


def send_batch(
    notifications: Sequence[BatchItem],
    *,
    defaults: Defaults | None = None,
    on_error: OnError | None = None,
    idempotency_key: str | None = None,
) -> Call[SubmittedBatch]:
    """Submit up to a thousand notifications. Each has its own result, in the same order.

    The key covers all items that have no key of their own. With `on_error="skip_invalid"`, check `refused`.
    """
    return build_call(
        POST,
        ("notifications", "batch"),
        _read_batch,
        fields={
            "defaults": None if defaults is None else rename_fields(defaults),
            "notifications": [rename_fields(item) for item in notifications],
            "on_error": on_error,
        },
        idempotency_key=complete_key(idempotency_key),
        is_unfinished=_is_in_progress,
    )


def get_notification(id_: str | UUID, /) -> Call[Notification]:
    """Get a notification with every attempt to deliver it."""
    return build_call(GET, ("notifications", id_), read_as(Notification))


def list_notifications(**filters: Unpack[NotificationFilter]) -> PageCall[Notification]:
    """List your notifications, newest first."""
    return build_call(GET, ("notifications",), read_page(Notification, "notifications"), query=filters)


def get_notification_events(id_: str | UUID, /) -> Call[tuple[Event, ...]]:
    """Get the timeline of a notification, oldest first."""
    return build_call(GET, ("notifications", id_, "events"), _read_events)


def get_notification_content(id_: str | UUID, /) -> Call[Content]:
    """Get the content of the mail."""
    return build_call(GET, ("notifications", id_, "content"), read_as(Content))


def get_notification_eml(id_: str | UUID, /) -> Call[bytes]:
    """Get the exact bytes of the mail (RFC 5322)."""
    path, query = ("notifications", id_, "content"), {"format": "eml"}
    return build_call(GET, path, read_content, query=query, accept="message/rfc822")


def explain_notification(id_: str | UUID, /) -> Call[Explanation]:
    """Explain why a notification waits, and what happens next."""
    return build_call(GET, ("notifications", id_, "explain"), read_as(Explanation))


def update_notification(id_: str | UUID, /, **changes: Unpack[Changes]) -> Call[Notification]:
    """Update the named fields of a waiting notification."""
    return build_call(PATCH, ("notifications", id_), read_as(Notification), fields=changes, is_idempotent=True)


def cancel_notification(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Cancel a notification. Raises `ConflictError` once the mail may be on its way; cancelling twice is no error."""
    path = ("notifications", id_, "cancel")
    return build_call(POST, path, read_as(Notification), fields={"comment": comment}, is_idempotent=True)


def retry_notification(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Send a failed or expired notification again."""
    return build_call(POST, ("notifications", id_, "retry"), read_as(Notification), fields={"comment": comment})


def resolve_notification(id_: str | UUID, /, as_: Resolution, *, comment: str | None = None) -> Call[Notification]:
    """Resolve a notification in status `unknown`: it was sent, it failed, or send it again."""
    fields = {"as_": as_, "comment": comment}
    return build_call(POST, ("notifications", id_, "resolve"), read_as(Notification), fields=fields)


def get_batch(id_: str | UUID, /) -> Call[Batch]:
    """Get a batch and its progress."""
    return build_call(GET, ("batches", id_), read_as(Batch))


def watch_batch(id_: str | UUID, /) -> Call[Batch]:
    """Watch a batch: its progress now and after each change, until it has ended or ten minutes have passed."""
    return build_call(GET, ("batches", id_, "progress"), read_as(Batch), accept="text/event-stream")


def cancel_batch(id_: str | UUID, /, *, comment: str | None = None) -> Call[Batch]:
    """Cancel every mail of a batch that is not on its way yet."""
    path = ("batches", id_, "cancel")
    return build_call(POST, path, read_as(Batch), fields={"comment": comment}, is_idempotent=True)


def _read_events(answer: HttpResponse) -> tuple[Event, ...]:
    return read_replies(Event, decode_object(answer.content).get("events"), "events")


def _read_batch(answer: HttpResponse) -> SubmittedBatch:
    fields = decode_object(answer.content)
    results = fields.get("results")
    if not isinstance(results, list):
        raise MalformedReplyError("results is not an array")
    return SubmittedBatch(
        batch_id=fields.get("batch_id"),
        results=tuple(_read_result(result, f"results/{index}") for index, result in enumerate(results)),
        raw=fields,
    )


def _read_result(fields: Any, where: str) -> BatchResult:
    is_refused = isinstance(fields, dict) and fields.get("error") is not None
    return read_reply(RefusedResult, fields, where) if is_refused else read_reply(AcceptedResult, fields, where)


def _is_in_progress(batch: SubmittedBatch) -> bool:
    """True if an earlier request of ours is still writing an item: a repeated request then returns its id."""
    return any(result.error.code == "idempotency_in_progress" for result in batch.refused)
