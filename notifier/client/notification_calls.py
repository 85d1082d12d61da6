"""The calls about notifications and batches; both clients use them."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack
from uuid import UUID, uuid4

from notifier.client.api_call import GET, PATCH, POST, Call, HttpResponse, PageCall, check_segment, read_as, read_page
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
from notifier.client.reply_reader import decode_object, read_replies, read_reply
from notifier.client.request_fields import (
    BatchItem,
    Changes,
    Defaults,
    Mail,
    NotificationFilter,
    OnError,
    Resolution,
    build_body,
    build_query,
    rename_fields,
)

_ROOT = "/v1/notifications"
_BATCHES = "/v1/batches"
_REPLAYED = "idempotent-replayed"
_IN_PROGRESS = "idempotency_in_progress"


def send_notification(*, idempotency_key: str | None = None, **mail: Unpack[Mail]) -> Call[Submitted]:
    """Submit a notification. When this returns, it is committed and will not be lost.

    Without an idempotency key one is generated, so that a repeated request never makes a second mail. Pass your own,
    such as the id of an order, if your program may send the same mail again.
    """
    return Call(POST, _ROOT, _read_submitted, body=build_body(mail), idempotency_key=_complete_key(idempotency_key))


def dry_run_notification(**mail: Unpack[Mail]) -> Call[DryRun]:
    """Check a notification like `send`, without writing or sending anything."""
    return Call(POST, _ROOT, read_as(DryRun), query={"dry_run": "true"}, body=build_body(mail), is_idempotent=True)


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
    fields = {
        "defaults": None if defaults is None else rename_fields(defaults),
        "notifications": [rename_fields(item) for item in notifications],
        "on_error": on_error,
    }
    return Call(
        POST,
        f"{_ROOT}/batch",
        _read_batch,
        body=build_body(fields),
        idempotency_key=_complete_key(idempotency_key),
        is_unfinished=_is_in_progress,
    )


def get_notification(id_: str | UUID, /) -> Call[Notification]:
    """Get a notification with every attempt to deliver it."""
    return Call(GET, f"{_ROOT}/{check_segment(id_)}", read_as(Notification))


def list_notifications(**filters: Unpack[NotificationFilter]) -> PageCall[Notification]:
    """List your notifications, newest first."""
    return Call(GET, _ROOT, read_page(Notification, "notifications"), query=build_query(filters))


def get_notification_events(id_: str | UUID, /) -> Call[tuple[Event, ...]]:
    """Get the timeline of a notification, oldest first."""
    return Call(
        GET,
        f"{_ROOT}/{check_segment(id_)}/events",
        lambda answer: read_replies(Event, decode_object(answer.content).get("events"), "events"),
    )


def get_notification_content(id_: str | UUID, /) -> Call[Content]:
    """Get the content of the mail."""
    return Call(GET, f"{_ROOT}/{check_segment(id_)}/content", read_as(Content))


def get_notification_eml(id_: str | UUID, /) -> Call[bytes]:
    """Get the exact bytes of the mail (RFC 5322)."""
    return Call(
        GET,
        f"{_ROOT}/{check_segment(id_)}/content",
        lambda answer: answer.content,
        query={"format": "eml"},
        accept="message/rfc822",
    )


def explain_notification(id_: str | UUID, /) -> Call[Explanation]:
    """Explain why a notification waits, and what happens next."""
    return Call(GET, f"{_ROOT}/{check_segment(id_)}/explain", read_as(Explanation))


def update_notification(id_: str | UUID, /, **changes: Unpack[Changes]) -> Call[Notification]:
    """Update the named fields of a waiting notification."""
    return Call(
        PATCH, f"{_ROOT}/{check_segment(id_)}", read_as(Notification), body=build_body(changes), is_idempotent=True
    )


def cancel_notification(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Cancel a notification. Raises `ConflictError` once the mail may be on its way; cancelling twice is no error."""
    return _post_change(id_, "cancel", {"comment": comment}, is_idempotent=True)


def retry_notification(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Send a failed or expired notification again."""
    return _post_change(id_, "retry", {"comment": comment})


def resolve_notification(id_: str | UUID, /, as_: Resolution, *, comment: str | None = None) -> Call[Notification]:
    """Resolve a notification in status `unknown`: it was sent, it failed, or send it again."""
    return _post_change(id_, "resolve", {"as_": as_, "comment": comment})


def get_batch(id_: str | UUID, /) -> Call[Batch]:
    """Get a batch and its progress."""
    return Call(GET, f"{_BATCHES}/{check_segment(id_)}", read_as(Batch))


def watch_batch(id_: str | UUID, /) -> Call[Batch]:
    """Watch a batch: its progress now and after each change, until it has ended or ten minutes have passed."""
    return Call(GET, f"{_BATCHES}/{check_segment(id_)}/progress", read_as(Batch), accept="text/event-stream")


def cancel_batch(id_: str | UUID, /, *, comment: str | None = None) -> Call[Batch]:
    """Cancel every mail of a batch that is not on its way yet."""
    return Call(
        POST,
        f"{_BATCHES}/{check_segment(id_)}/cancel",
        read_as(Batch),
        body=build_body({"comment": comment}),
        is_idempotent=True,
    )


def _post_change(
    id_: str | UUID, action: str, fields: Mapping[str, Any], *, is_idempotent: bool = False
) -> Call[Notification]:
    return Call(
        POST,
        f"{_ROOT}/{check_segment(id_)}/{action}",
        read_as(Notification),
        body=build_body(fields),
        is_idempotent=is_idempotent,
    )


def _complete_key(key: str | None) -> str:
    return str(uuid4()) if key is None else key


def _read_submitted(answer: HttpResponse) -> Submitted:
    return read_reply(Submitted, {"replayed": answer.headers.get(_REPLAYED) == "true"} | decode_object(answer.content))


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
    return any(result.error.code == _IN_PROGRESS for result in batch.refused)
