"""The calls about notifications and batches; each stands once, and both clients carry it out."""

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
    """Accept a notification: when this returns, it is committed and will not be lost.

    Without an idempotency key it gets one, so that a repeated request never makes a second mail. Give your own (an
    order's id, say) if your program may send the same mail again.
    """
    return Call(POST, _ROOT, _submitted, body=body_of(mail), idempotency_key=_key(idempotency_key))


def dry_run(**mail: Unpack[Mail]) -> Call[DryRun]:
    """Check a notification as `send` would; nothing is written and nothing is sent."""
    return Call(POST, _ROOT, read_as(DryRun), query={"dry_run": "true"}, body=body_of(mail), same_twice=True)


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
        "defaults": None if defaults is None else wire(defaults),
        "notifications": [wire(item) for item in notifications],
        "on_error": on_error,
    }
    return Call(
        POST,
        f"{_ROOT}/batch",
        _batch,
        body=body_of(fields),
        idempotency_key=_key(idempotency_key),
        unfinished=_in_progress,
    )


def get(id_: str | UUID, /) -> Call[Notification]:
    """A notification with every try at delivering it."""
    return Call(GET, f"{_ROOT}/{segment(id_)}", read_as(Notification))


def page(**wanted: Unpack[Filter]) -> PageCall[Notification]:
    """Your notifications, newest first."""
    return Call(GET, _ROOT, page_of(Notification, "notifications"), query=query_of(wanted))


def events(id_: str | UUID, /) -> Call[tuple[Event, ...]]:
    """What happened to a notification, oldest first."""
    return Call(
        GET,
        f"{_ROOT}/{segment(id_)}/events",
        lambda answer: read_each(Event, decode(answer.content).get("events"), "events"),
    )


def content(id_: str | UUID, /) -> Call[Content]:
    """The mail itself."""
    return Call(GET, f"{_ROOT}/{segment(id_)}/content", read_as(Content))


def eml(id_: str | UUID, /) -> Call[bytes]:
    """The mail itself as the octets that leave (RFC 5322)."""
    return Call(
        GET,
        f"{_ROOT}/{segment(id_)}/content",
        lambda answer: answer.content,
        query={"format": "eml"},
        accept="message/rfc822",
    )


def explain(id_: str | UUID, /) -> Call[Explanation]:
    """Why a notification stands where it stands, and what comes next."""
    return Call(GET, f"{_ROOT}/{segment(id_)}/explain", read_as(Explanation))


def update(id_: str | UUID, /, **changes: Unpack[Changes]) -> Call[Notification]:
    """Change a notification that waits; what is not named stays as it is."""
    return Call(PATCH, f"{_ROOT}/{segment(id_)}", read_as(Notification), body=body_of(changes), same_twice=True)


def cancel(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """See that the mail is never sent. `ConflictError` once it may be on its way; cancelling twice is no error."""
    return _change(id_, "cancel", {"comment": comment}, same_twice=True)


def retry(id_: str | UUID, /, *, comment: str | None = None) -> Call[Notification]:
    """Send a failed or expired notification again."""
    return _change(id_, "retry", {"comment": comment})


def resolve(id_: str | UUID, /, as_: Resolution, *, comment: str | None = None) -> Call[Notification]:
    """Decide about a mail whose status is `unknown`: it was sent, it failed, or send it again."""
    return _change(id_, "resolve", {"as_": as_, "comment": comment})


def batch(id_: str | UUID, /) -> Call[Batch]:
    """A batch and where it stands."""
    return Call(GET, f"{_BATCHES}/{segment(id_)}", read_as(Batch))


def watch_batch(id_: str | UUID, /) -> Call[Batch]:
    """How a batch goes on: as it stands now, and each change, until all has ended or ten minutes are over."""
    return Call(GET, f"{_BATCHES}/{segment(id_)}/progress", read_as(Batch), accept="text/event-stream")


def cancel_batch(id_: str | UUID, /, *, comment: str | None = None) -> Call[Batch]:
    """See that no mail of the batch is sent that is not on its way."""
    return Call(
        POST, f"{_BATCHES}/{segment(id_)}/cancel", read_as(Batch), body=body_of({"comment": comment}), same_twice=True
    )


def _change(id_: str | UUID, what: str, fields: Mapping[str, Any], *, same_twice: bool = False) -> Call[Notification]:
    return Call(
        POST, f"{_ROOT}/{segment(id_)}/{what}", read_as(Notification), body=body_of(fields), same_twice=same_twice
    )


def _key(given: str | None) -> str:
    return str(uuid4()) if given is None else given


def _submitted(answer: Answer) -> Submitted:
    told = {"replayed": answer.headers.get(_REPLAYED) == "true"} | decode(answer.content)
    return read(Submitted, told)


def _batch(answer: Answer) -> SubmittedBatch:
    told = decode(answer.content)
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
    return read(RefusedResult, told, where) if refused else read(AcceptedResult, told, where)


def _in_progress(batch: SubmittedBatch) -> bool:
    """True if the first of our own requests still writes one of them: asked again, the batch tells its id."""
    return any(result.error.code == _IN_PROGRESS for result in batch.refused)
