"""From JSON to values: times, optional fields, additions of a newer server, and invalid replies."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from notifier.client import (
    ApiError,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    MalformedReplyError,
    NotFoundError,
    Notification,
    PeriodFigures,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    Status,
    account,
    feed_calls,
    job_calls,
    merge_calls,
)
from notifier.client import notification_calls as calls
from notifier.client.api_call import Call, HttpResponse, build_error, build_next_page_call, decode_object, read_reply

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "0197c0de-0000-7000-8000-000000000001"
ATTEMPT = {
    "number": 1,
    "started_at": "2026-01-31T12:00:01Z",
    "duration_ms": None,
    "relay": None,
    "phase": "dot",
    "outcome": "accepted",
    "code": 250,
    "enhanced_code": "2.0.0",
    "reply": "queued",
}
NOTIFICATION = {
    "id": ID,
    "status": "sent",
    "reason": None,
    "to": "ada@example.com",
    "created_at": "2026-01-31T12:00:00.25+00:00",
    "metadata": {"order": "1"},
    "tags": ["order"],
    "attempts": [ATTEMPT],
    "copies": [{"id": ID, "role": "cc", "status": "queued"}],
}


def answer(status: int, body: Any, **headers: str) -> HttpResponse:
    """Build a reply of the API."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status=status, headers=named, content=content, at=NOW)


def test_a_notification_with_all_that_hangs_on_it() -> None:
    """Times are aware, attempts and copies are typed values, and lists are tuples."""
    notification = calls.get_notification(ID).read(answer(200, NOTIFICATION))
    assert notification.created_at == NOW + timedelta(seconds=0.25)
    assert notification.status == Status.SENT
    assert (notification.attempts[0].code, notification.attempts[0].duration_ms) == (250, None)
    assert (notification.copies[0].role, notification.tags, notification.metadata) == ("cc", ("order",), {"order": "1"})
    with pytest.raises(AttributeError):
        notification.status = "failed"  # type: ignore[misc]


def test_an_old_client_lives_with_a_newer_server() -> None:
    """Unknown fields and statuses are no error, and stay available in `raw`."""
    newer = NOTIFICATION | {"status": "forwarded", "colour": {"r": 1}, "attempts": [ATTEMPT | {"via": "x"}]}
    notification = read_reply(Notification, newer)
    assert (notification.status, notification.raw["colour"]) == ("forwarded", {"r": 1})
    assert notification.attempts[0].raw["via"] == "x"
    assert notification == read_reply(Notification, newer | {"shape": "round"})


def test_a_new_client_lives_with_an_older_server() -> None:
    """Fields that only newer servers send have a default."""
    oldest = {"id": ID, "status": "queued", "to": "ada@example.com", "created_at": "2026-01-31T12:00:00Z"}
    notification = read_reply(Notification, oldest)
    assert (notification.tags, notification.attempts, notification.batch_id) == ((), (), None)


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": 7},
        {"to": ["a"]},
        {"created_at": "yesterday"},
        {"created_at": 1},
        {"attempts": {}},
        {"attempts": [1]},
        {"attempts": [{"number": True, "started_at": "2026-01-31T12:00:01Z"}]},
        {"tags": [1]},
        {"metadata": []},
        {"template_version": "3"},
    ],
    ids=json.dumps,
)
def test_what_cannot_be_is_said_with_its_place(change: dict[str, Any]) -> None:
    """A field of a wrong type is a malformed reply, whose error names the field."""
    with pytest.raises(MalformedReplyError, match="/" + next(iter(change))):
        calls.get_notification(ID).read(answer(200, NOTIFICATION | change))


def test_a_missing_field_is_named() -> None:
    """A missing required field is a malformed reply, whose error names the field."""
    with pytest.raises(MalformedReplyError, match="/created_at"):
        calls.send_notification(to="a@x.org").read(answer(202, {"id": ID, "status": "queued"}))


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'"x"', b"\xff", b"{", b"[" * 100_000])
def test_what_is_not_an_object_is_malformed(content: bytes) -> None:
    """A proxy's page, a cut-off reply or deeply nested JSON always raises our error."""
    with pytest.raises(MalformedReplyError):
        decode_object(content)
    for call in (
        calls.get_notification(ID),
        calls.list_notifications(),
        calls.get_notification_events(ID),
        account.whoami(),
        calls.send_batch([]),
    ):
        with pytest.raises(MalformedReplyError):
            call.read(answer(200, content))


def test_other_malformed_replies() -> None:
    """A page without items, an invalid cursor and events that are no list are malformed."""
    broken: tuple[tuple[Call[Any], Any], ...] = (
        (calls.list_notifications(), {"next": None}),
        (calls.list_notifications(), {"notifications": [], "next": [3]}),
        (calls.list_notifications(), {"notifications": [3], "next": None}),
        (calls.get_notification_events(ID), {"events": None}),
        (calls.send_batch([]), {"results": None}),
        (calls.send_batch([]), {"results": [None]}),
        (calls.send_batch([]), {"results": [{"index": 0, "id": ID}]}),
    )
    for call, body in broken:
        with pytest.raises(MalformedReplyError):
            call.read(answer(200, body))


def test_pages_follow_each_other() -> None:
    """The cursor is added to the next query beside the filter; a repeated cursor ends the iteration."""
    first = calls.list_notifications(status="failed")
    page = first.read(answer(200, {"notifications": [NOTIFICATION], "next": ID}))
    second = build_next_page_call(first, page)
    assert second is not None
    assert second.query == {"status": "failed", "before": ID}
    assert build_next_page_call(second, page) is None
    assert build_next_page_call(second, second.read(answer(200, {"notifications": [], "next": None}))) is None


def test_a_page_may_have_a_number_as_cursor() -> None:
    """The rows with faults of a merge are paged by `after`, the number of a row."""
    first = merge_calls.list_merge_faults(ID, limit=1)
    page = first.read(answer(200, {"rows": [{"row": 4, "faults": [{"code": "x", "detail": "y"}]}], "next": 4}))
    assert (page.next, page.items[0].row, page.items[0].faults[0].column) == ("4", 4, None)
    second = build_next_page_call(first, page)
    assert second is not None
    assert second.query == {"limit": "1", "after": "4"}


@pytest.mark.parametrize("document", [{"currency": "EUR"}, [{"name": "Ada"}, {"name": "Bob"}], []])
def test_a_document_is_an_object_or_rows(document: Any) -> None:
    """The document of a feed's revision is an object, or a tuple of rows."""
    fields = dict.fromkeys(("number", "size", "entries", "added", "removed", "changed"), 1)
    reply = fields | {"received_at": NOW.isoformat(), "sha256": "", "document": document}
    revision = feed_calls.get_feed_revision("prices", 1).read(answer(200, reply))
    assert revision.document == (document if isinstance(document, dict) else tuple(document))
    for wrong in (None, "x", 3, [3], [None]):
        with pytest.raises(MalformedReplyError, match="/document"):
            feed_calls.get_feed_revision("prices", 1).read(answer(200, reply | {"document": wrong}))


def test_a_number_of_seconds_may_be_whole() -> None:
    """A figure in seconds is a number with or without a fraction, or None; true is no number."""
    figures = {"start": NOW.isoformat(), "end": NOW.isoformat(), "total": 1, "sent": 1, "failed": 0}
    for value in (2, 2.5, None):
        assert read_reply(PeriodFigures, figures | {"seconds_p50": value}).seconds_p50 == value
    with pytest.raises(MalformedReplyError):
        read_reply(PeriodFigures, figures | {"seconds_p50": True})


def test_the_next_times_are_aware() -> None:
    """The next times of a schedule are aware times; a reply without them is malformed."""
    call = job_calls.list_next_times("nightly", count=1)
    assert call.read(answer(200, {"times": ["2026-01-31T12:00:00Z"]})) == (NOW,)
    for wrong in ({}, {"times": ["soon"]}):
        with pytest.raises(MalformedReplyError):
            call.read(answer(200, wrong))


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, ApiError),
        (409, ConflictError),
        (413, InvalidRequestError),
        (415, InvalidRequestError),
        (422, InvalidRequestError),
        (429, RateLimitedError),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_each_status_has_its_family(status: int, family: type[ApiError]) -> None:
    """The error class follows from the status, its attributes have the details, and its message is clear."""
    problem_fields = {
        "type": "/problems/some_code",
        "title": "Title",
        "status": status,
        "code": "some_code",
        "detail": "because",
        "errors": [{"pointer": "/to", "code": "invalid_address", "detail": "no address", "hint": "new"}],
        "request_id": "9f2c",
    }
    error = build_error(answer(status, problem_fields, retry_after="3"))
    assert type(error) is family
    assert (error.status, error.code, error.detail, error.request_id) == (status, "some_code", "because", "9f2c")
    assert (error.errors[0].pointer, error.errors[0].code, error.retry_after) == ("/to", "invalid_address", 3.0)
    assert str(error) == f"{status} some_code: /to: no address (request 9f2c)"


@pytest.mark.parametrize("body", [b"<html>", b"", [], {}, {"code": "x", "errors": 3}, {"code": "x", "errors": [3]}])
def test_an_error_that_is_no_problem_document(body: Any) -> None:
    """An error without a problem document, such as a proxy's, is classified by its status."""
    error = build_error(answer(502, body, content_type="text/html"))
    assert (error.status, error.code) == (502, "http_502")
    assert "text/html" in str(error)


def test_a_fault_that_lacks_a_word() -> None:
    """A problem with an incomplete fault keeps its code, which decides about retries."""
    error = build_error(
        answer(409, {"code": "idempotency_in_progress", "errors": [{"detail": "wait"}], "detail": None})
    )
    assert (error.code, error.errors[0].detail, error.errors[0].pointer) == ("idempotency_in_progress", "wait", "")
