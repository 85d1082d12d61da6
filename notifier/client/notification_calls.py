"""The calls about notifications and batches; both clients use them."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack
from uuid import UUID, uuid4

from notifier.client.call import GET, PATCH, POST, Answer, Call, PageCall, page_of, read_as, segment
from notifier.client.errors import MalformedReplyError
from notifier.client.reading import decode, read, read_each
from notifier.client.reply import (
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
from notifier.client.request import (
    BatchItem,
    Changes,
    Defaults,
    Filter,
    Mail,
    OnError,
    Resolution,
    body_of,
    query_of,
    wire,
)

_ROOT = "/v1/notifications"
_BATCHES = "/v1/batches"
_REPLAYED = "idempotent-replayed"
_IN_PROGRESS = "idempotency_in_progress"


def send(*, idempotency_key: str | None = None, **mail: Unpack[Mail]) -> Call[Submitted]:
    """Submit a notification. When this returns, it is committed and will not be lost.

    Without an idempotency key one is generated, so that a repeated request never makes a second mail. Pass your own,
    such as the id of an order, if your program may send the same mail again.
    """
    return Call(POST, _ROOT, _read_submitted, body=body_of(mail), idempotency_key=_complete_key(idempotency_key))


def dry_run(**mail: Unpack[Mail]) -> Call[DryRun]:
    """Check a notification like `send`, without writing or sending anything."""
    return Call(POST, _ROOT, read_as(DryRun), query={"dry_run": "true"}, body=body_of(mail), same_twice=True)


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
        "defaults": None if defaults is None else wire(defaults),
        "notifications": [wire(item) for item in notifications],
        "on_error": on_error,
    }
    return Call(
        POST,
        f"{_ROOT}/batch",
        _read_batch,
        body=body_of(fields),
        idempotency_key=_complete_key(idempotency_key),
        unfinished=_is_in_progress,
    )


def get(id_: str | UUID, /) -> Call[Notification]:
    """Get a notification with every attempt to deliver it."""
    return Call(GET, f"{_ROOT}/{segment(id_)}", read_as(Notification))


def page(**filters: Unpack[Filter]) -> PageCall[Notification]:
    """List your notifications, newest first."""
    return Call(GET, _ROOT, page_of(Notification, "notifications"), query=query_of(filters))


def events(id_: str | UUID, /) -> Call[tuple[Event, ...]]:
    """Get the timeline of a notification, oldest first."""
    return Call(
        GET,
        f"{_ROOT}/{segment(id_)}/events",
        lambda answer: read_each(Event, decode(answer.content).get("events"), "events"),
    )


def content(id_: str | UUID, /) -> Call[Content]:
    """Get the content of the mail."""
    return Call(GET, f"{_ROOT}/{segment(id_)}/content", read_as(Content))


def eml(id_: str | UUID, /) -> Call[bytes]:
    """Get the exact bytes of the mail (RFC 5322)."""
    return Call(
        GET,
        f"{_ROOT}/{segment(id_)}/content",
        lambda answer: answer.content,
        query={"format": "eml"},
        accept="message/rfc822",
    )


def explain(id_: str | UUID, /) -> Call[Explanation]:
    """Explain why a notification waits, and what happens next."""
    return Call(GET, f"{_ROOT}/{segment(id_)}/explain", read_as(Explanation))


def update(id_: str | UUID, /, **changes: Unpack[Changes]) -> Call[Notification]:
    """Update the named fields of a waiting notification."""
    return Call(PATCH, f"{_ROOT}/{segment(id_)}", read_as(Notification), body=body_of(changes), same_twice=True)


def cancel(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Cancel a notification. Raises `ConflictError` once the mail may be on its way; cancelling twice is no error."""
    return _post_change(id_, "cancel", {"comment": comment}, same_twice=True)


def retry(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Send a failed or expired notification again."""
    return _post_change(id_, "retry", {"comment": comment})


def resolve(id_: str | UUID, /, as_: Resolution, *, comment: str | None = None) -> Call[Notification]:
    """Resolve a notification in status `unknown`: it was sent, it failed, or send it again."""
    return _post_change(id_, "resolve", {"as_": as_, "comment": comment})


def batch(id_: str | UUID, /) -> Call[Batch]:
    """Get a batch and its progress."""
    return Call(GET, f"{_BATCHES}/{segment(id_)}", read_as(Batch))


def watch_batch(id_: str | UUID, /) -> Call[Batch]:
    """Watch a batch: its progress now and after each change, until it has ended or ten minutes have passed."""
    return Call(GET, f"{_BATCHES}/{segment(id_)}/progress", read_as(Batch), accept="text/event-stream")


def cancel_batch(id_: str | UUID, /, *, comment: str | None = None) -> Call[Batch]:
    """Cancel every mail of a batch that is not on its way yet."""
    return Call(
        POST, f"{_BATCHES}/{segment(id_)}/cancel", read_as(Batch), body=body_of({"comment": comment}), same_twice=True
    )


def _post_change(
    id_: str | UUID, action: str, fields: Mapping[str, Any], *, same_twice: bool = False
) -> Call[Notification]:
    return Call(
        POST, f"{_ROOT}/{segment(id_)}/{action}", read_as(Notification), body=body_of(fields), same_twice=same_twice
    )


def _complete_key(key: str | None) -> str:
    return str(uuid4()) if key is None else key


def _read_submitted(answer: Answer) -> Submitted:
    return read(Submitted, {"replayed": answer.headers.get(_REPLAYED) == "true"} | decode(answer.content))


def _read_batch(answer: Answer) -> SubmittedBatch:
    fields = decode(answer.content)
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
    return read(RefusedResult, fields, where) if is_refused else read(AcceptedResult, fields, where)


def _is_in_progress(batch: SubmittedBatch) -> bool:
    """True if an earlier request of ours is still writing an item: a repeated request then returns its id."""
    return any(result.error.code == _IN_PROGRESS for result in batch.refused)
