"""The calls about notifications and batches; each stands once, and both clients carry it out."""

from collections.abc import Mapping, Sequence
from http import HTTPMethod
from typing import Any, Unpack
from uuid import UUID, uuid4

from notifier.client.api_call import Call, HttpResponse, PageCall, check_segment, read_page
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
    """Accept a notification: when this returns, it is committed and will not be lost.

    Without an idempotency key it gets one, so that a repeated request never makes a second mail. Give your own (an
    order's id, say) if your program may send the same mail again.
    """
    return Call(
        method=HTTPMethod.POST,
        path=_ROOT,
        body=build_body(mail),
        idempotency_key=_key(idempotency_key),
        read=_submitted,
    )


def dry_run_notification(**mail: Unpack[Mail]) -> Call[DryRun]:
    """Check a notification as `send` would; nothing is written and nothing is sent."""
    return Call(
        method=HTTPMethod.POST,
        path=_ROOT,
        query={"dry_run": "true"},
        body=build_body(mail),
        is_idempotent=True,
        read=lambda answer: read_reply(DryRun, decode_object(answer.content)),
    )


def send_batch(
    notifications: Sequence[BatchItem],
    *,
    defaults: Defaults | None = None,
    on_error: OnError | None = None,
    idempotency_key: str | None = None,
) -> Call[SubmittedBatch]:
    """Accept up to a thousand notifications, each with a result of its own, in their order.

    The key stands for all items that have none of their own. With `on_error="skip_invalid"` look at `refused`.
    """
    fields = {
        "defaults": None if defaults is None else rename_fields(defaults),
        "notifications": [rename_fields(item) for item in notifications],
        "on_error": on_error,
    }
    return Call(
        method=HTTPMethod.POST,
        path=f"{_ROOT}/batch",
        body=build_body(fields),
        idempotency_key=_key(idempotency_key),
        read=_batch,
        is_unfinished=_in_progress,
    )


def get_notification(id_: str | UUID, /) -> Call[Notification]:
    """A notification with every try at delivering it."""
    return Call(method=HTTPMethod.GET, path=f"{_ROOT}/{check_segment(id_)}", read=_notification)


def list_notifications(**wanted: Unpack[NotificationFilter]) -> PageCall[Notification]:
    """Your notifications, newest first."""
    return Call(
        method=HTTPMethod.GET,
        path=_ROOT,
        query=build_query(wanted),
        read=lambda answer: read_page(Notification, answer, "notifications"),
    )


def get_notification_events(id_: str | UUID, /) -> Call[tuple[Event, ...]]:
    """What happened to a notification, oldest first."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_ROOT}/{check_segment(id_)}/events",
        read=lambda answer: read_replies(Event, decode_object(answer.content).get("events"), "events"),
    )


def get_notification_content(id_: str | UUID, /) -> Call[Content]:
    """The mail itself."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_ROOT}/{check_segment(id_)}/content",
        read=lambda answer: read_reply(Content, decode_object(answer.content)),
    )


def get_notification_eml(id_: str | UUID, /) -> Call[bytes]:
    """The mail itself as the octets that leave (RFC 5322)."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_ROOT}/{check_segment(id_)}/content",
        query={"format": "eml"},
        accept="message/rfc822",
        read=lambda answer: answer.content,
    )


def explain_notification(id_: str | UUID, /) -> Call[Explanation]:
    """Why a notification stands where it stands, and what comes next."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_ROOT}/{check_segment(id_)}/explain",
        read=lambda answer: read_reply(Explanation, decode_object(answer.content)),
    )


def update_notification(id_: str | UUID, /, **changes: Unpack[Changes]) -> Call[Notification]:
    """Change a notification that waits; what is not named stays as it is."""
    return Call(
        method=HTTPMethod.PATCH,
        path=f"{_ROOT}/{check_segment(id_)}",
        body=build_body(changes),
        is_idempotent=True,
        read=_notification,
    )


def cancel_notification(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """See that the mail is never sent. `ConflictError` once it may be on its way; cancelling twice is no error."""
    return _change(id_, "cancel", {"comment": comment}, same_twice=True)


def retry_notification(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Send a failed or expired notification again."""
    return _change(id_, "retry", {"comment": comment})


def resolve_notification(id_: str | UUID, /, as_: Resolution, *, comment: str | None = None) -> Call[Notification]:
    """Decide about a mail whose status is `unknown`: it was sent, it failed, or send it again."""
    return _change(id_, "resolve", {"as_": as_, "comment": comment})


def get_batch(id_: str | UUID, /) -> Call[Batch]:
    """A batch and where it stands."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_BATCHES}/{check_segment(id_)}",
        read=lambda answer: read_reply(Batch, decode_object(answer.content)),
    )


def watch_batch(id_: str | UUID, /) -> Call[Batch]:
    """How a batch goes on: as it stands now, and each change, until all has ended or ten minutes are over."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_BATCHES}/{check_segment(id_)}/progress",
        accept="text/event-stream",
        read=lambda answer: read_reply(Batch, decode_object(answer.content)),
    )


def cancel_batch(id_: str | UUID, /, *, comment: str | None = None) -> Call[Batch]:
    """See that no mail of the batch is sent that is not on its way."""
    return Call(
        method=HTTPMethod.POST,
        path=f"{_BATCHES}/{check_segment(id_)}/cancel",
        body=build_body({"comment": comment}),
        is_idempotent=True,
        read=lambda answer: read_reply(Batch, decode_object(answer.content)),
    )


def _change(id_: str | UUID, what: str, fields: Mapping[str, Any], *, same_twice: bool = False) -> Call[Notification]:
    return Call(
        method=HTTPMethod.POST,
        path=f"{_ROOT}/{check_segment(id_)}/{what}",
        body=build_body(fields),
        is_idempotent=same_twice,
        read=_notification,
    )


def _key(given: str | None) -> str:
    return str(uuid4()) if given is None else given


def _submitted(answer: HttpResponse) -> Submitted:
    told = {"replayed": answer.headers.get(_REPLAYED) == "true"} | decode_object(answer.content)
    return read_reply(Submitted, told)


def _batch(answer: HttpResponse) -> SubmittedBatch:
    told = decode_object(answer.content)
    results = told.get("results")
    if not isinstance(results, list):
        raise MalformedReplyError("results is not an array")
    return SubmittedBatch(
        batch_id=told.get("batch_id"),
        results=tuple(_result(one, f"results/{index}") for index, one in enumerate(results)),
        raw=told,
    )


def _result(told: Any, where: str) -> BatchResult:
    refused = isinstance(told, dict) and told.get("error") is not None
    return read_reply(RefusedResult, told, where) if refused else read_reply(AcceptedResult, told, where)


def _notification(answer: HttpResponse) -> Notification:
    return read_reply(Notification, decode_object(answer.content))


def _in_progress(batch: SubmittedBatch) -> bool:
    """True if the first of our own requests still writes one of them: asked again, the batch tells its id."""
    return any(result.error.code == _IN_PROGRESS for result in batch.refused)
