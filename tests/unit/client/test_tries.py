"""Whether and when a call is retried: pure decisions."""

import json
import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPMethod
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.client import (
    ApiError,
    ConnectionFailedError,
    RetryPolicy,
    ServerError,
    SubmittedBatch,
    feed_calls,
    job_calls,
    merge_calls,
)
from notifier.client import notification_calls as calls
from notifier.client.api_call import Call, HttpResponse, NoResponse, get_retry_after
from notifier.client.http_exchange import classify_failure
from notifier.client.retry_policy import Finished, RetryLater, RetryState

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "0197c0de-0000-7000-8000-000000000001"
SENT = {"id": ID, "status": "queued", "created_at": "2026-01-31T12:00:00Z"}
SEND = calls.send_notification(to="ada@example.com", template="welcome")
RETRY = calls.retry_notification(ID)
AGAIN_SAFE: tuple[Call[Any], ...] = (
    SEND,
    calls.get_notification(ID),
    calls.cancel_notification(ID),
    calls.dry_run_notification(to="a@x.org"),
    calls.list_notifications(),
    job_calls.cancel_job(ID),
    job_calls.pause_job(ID),
    job_calls.run_schedule("nightly"),
    feed_calls.fetch_feed("prices"),
    merge_calls.start_merge(ID),
    merge_calls.pause_merge(ID),
    merge_calls.cancel_merge(ID),
)
NOT_SAFE: tuple[Call[Any], ...] = (
    RETRY,
    calls.resolve_notification(ID, "resend"),
    job_calls.resume_job(ID),
    job_calls.retry_job(ID),
    feed_calls.confirm_feed("prices"),
    merge_calls.create_merge(b"x", template="welcome"),
    merge_calls.resume_merge(ID),
)
ARRIVED = (httpx2.ReadTimeout("slow"), httpx2.RemoteProtocolError("gone"), httpx2.WriteError("cut"))
NEVER_ARRIVED = (httpx2.ConnectError("refused"), httpx2.ConnectTimeout("slow"), httpx2.PoolTimeout("busy"))


def answer(status: int, body: Any = None, **headers: str) -> HttpResponse:
    """Build a reply of the API."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status=status, headers=named, content=json.dumps(body or {}).encode(), at=NOW)


def problem(status: int, code: str, **headers: str) -> HttpResponse:
    """Build a problem reply."""
    return answer(status, {"code": code, "title": "", "detail": "because", "errors": []}, **headers)


def tries(call: Call[Any], **policy: Any) -> RetryState[Any]:
    """The retry state of a call that begins at 0."""
    return RetryState(call=call, policy=RetryPolicy(**policy), started=0.0)


@pytest.mark.parametrize("call", [*AGAIN_SAFE, *NOT_SAFE], ids=lambda call: f"{call.method} {call.path}")
def test_answers_that_say_later_are_obeyed(call: Call[Any]) -> None:
    """Every call is repeated after 429, 503 and 409 `idempotency_in_progress`, at the time that the server gives."""
    for status, code in ((429, "rate_limited"), (503, "database_unavailable"), (409, "idempotency_in_progress")):
        verdict = tries(call).decide(problem(status, code, retry_after="7"), now=0.0, luck=0.0)
        assert verdict == RetryLater(seconds=7.0)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 425, 500, 501])
def test_other_answers_are_final(status: int) -> None:
    """No other reply is repeated, even with Retry-After."""
    with pytest.raises(ApiError) as caught:
        tries(SEND).decide(problem(status, "some_code", retry_after="1"), now=0.0, luck=0.0)
    assert (caught.value.status, caught.value.code) == (status, "some_code")


@pytest.mark.parametrize("error", ARRIVED, ids=lambda error: type(error).__name__)
def test_a_lost_answer_is_repeated_only_if_twice_is_once(error: httpx2.RequestError) -> None:
    """A request that may have arrived is repeated only with a key, or if a second time changes nothing."""
    for call in AGAIN_SAFE:
        assert isinstance(tries(call).decide(classify_failure(error), now=0.0, luck=0.0), RetryLater), call
    for call in NOT_SAFE:
        with pytest.raises(ConnectionFailedError) as caught:
            tries(call).decide(classify_failure(error), now=0.0, luck=0.0)
        assert caught.value.maybe_done
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", NEVER_ARRIVED, ids=lambda error: type(error).__name__)
def test_what_surely_did_not_arrive_is_repeated(error: httpx2.RequestError) -> None:
    """A call that made no connection is always repeated, and its error says that nothing was done."""
    for call in (*AGAIN_SAFE, *NOT_SAFE):
        assert isinstance(tries(call).decide(classify_failure(error), now=0.0, luck=0.0), RetryLater)
    with pytest.raises(ConnectionFailedError) as caught:
        tries(RETRY, tries=1).decide(classify_failure(error), now=0.0, luck=0.0)
    assert not caught.value.maybe_done


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_that_lost_its_server(status: int) -> None:
    """502 and 504 are treated as a lost reply, because they do not say what was done."""
    page = HttpResponse(status=status, headers={"content-type": "text/html"}, content=b"<html>", at=NOW)
    assert isinstance(tries(SEND).decide(page, now=0.0, luck=0.0), RetryLater)
    with pytest.raises(ServerError) as caught:
        tries(RETRY).decide(page, now=0.0, luck=0.0)
    assert caught.value.code == f"http_{status}"


def test_a_hopeless_request_is_not_repeated() -> None:
    """A request that the library refuses to send is not repeated."""
    with pytest.raises(ConnectionFailedError):
        tries(SEND).decide(classify_failure(httpx2.LocalProtocolError("bad header")), now=0.0, luck=0.0)


def test_once_arrived_is_never_forgotten() -> None:
    """If one try may have arrived, the call is uncertain, even if the last try was refused a connection."""
    several = tries(SEND, tries=2)
    several.decide(classify_failure(httpx2.ReadTimeout("slow")), now=0.0, luck=0.0)
    with pytest.raises(ConnectionFailedError) as caught:
        several.decide(classify_failure(httpx2.ConnectError("refused")), now=1.0, luck=0.0)
    assert (caught.value.maybe_done, caught.value.tries) == (True, 2)


def test_tries_are_counted() -> None:
    """The number of requests does not exceed the limit."""
    several = tries(SEND, tries=3)
    for _ in range(2):
        assert isinstance(several.decide(problem(503, "x"), now=0.0, luck=0.0), RetryLater)
    with pytest.raises(ServerError):
        several.decide(problem(503, "x"), now=0.0, luck=0.0)


def test_the_total_time_is_kept() -> None:
    """A wait that would exceed the total time is not begun, and a try gets only the time that is left."""
    with pytest.raises(ServerError) as caught:
        tries(SEND, seconds=60.0).decide(problem(503, "x", retry_after="3600"), now=1.0, luck=0.0)
    assert caught.value.retry_after == 3600.0
    with pytest.raises(ServerError):
        tries(SEND, seconds=60.0).decide(problem(503, "x"), now=59.9, luck=0.0)
    several = tries(SEND, seconds=60.0)
    assert several.seconds_left(0.0, 30.0) == 30.0
    assert several.seconds_left(50.0, 30.0) == 10.0
    assert several.seconds_left(70.0, 30.0) > 0


@given(made=st.integers(1, 50), luck=st.floats(0, 1, exclude_max=True), retry_after=st.none() | st.floats(0, 1e6))
def test_waits_are_jittered_and_bounded(made: int, luck: float, retry_after: float | None) -> None:
    """A wait is at least Retry-After and little more; otherwise it is 50 to 100 % of a doubling back-off."""
    policy = RetryPolicy(first_wait=0.5, max_wait=8.0)
    wait = policy.compute_wait(made, retry_after, luck)
    if retry_after is not None:
        assert retry_after <= wait <= retry_after + 0.25
    else:
        whole = min(0.5 * math.pow(2, made - 1), 8.0)
        assert whole / 2 <= wait <= whole


def test_a_batch_is_asked_again_while_a_result_is_being_written() -> None:
    """While a lost first request may still hold the keys, the batch is repeated, and then returns the ids."""
    batch = calls.send_batch([{"to": "ada@example.com", "template": "welcome"}])
    writing = {"results": [{"index": 0, "error": {"code": "idempotency_in_progress", "errors": []}}]}
    done = {"results": [{"index": 0, "replayed": True, **SENT}]}
    several = RetryState(call=batch, policy=RetryPolicy(tries=3), started=0.0)
    assert isinstance(several.decide(answer(202, writing), now=0.0, luck=0.0), RetryLater)
    verdict = several.decide(answer(202, done), now=1.0, luck=0.0)
    assert isinstance(verdict, Finished)
    assert verdict.value.accepted[0].id == ID
    last = RetryState(call=batch, policy=RetryPolicy(tries=1), started=0.0).decide(
        answer(202, writing), now=0.0, luck=0.0
    )
    assert isinstance(last, Finished)
    assert isinstance(last.value, SubmittedBatch)
    assert last.value.refused[0].index == 0


def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date (RFC 9110); a past date means now, and an invalid one is ignored."""
    until = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    assert get_retry_after(answer(503, retry_after=until)) == 90.0
    assert get_retry_after(answer(503, retry_after=format_datetime(NOW - timedelta(days=1)))) == 0.0
    for nonsense in ("", "soon", "-1", "1e9", "0.5", "99999999999", "Mon, 99 Foo 2026 00:00:00 GMT"):
        assert get_retry_after(answer(503, retry_after=nonsense)) is None, nonsense


def test_every_send_has_a_key() -> None:
    """Each send, and each begin of a job, without a key gets a new one; calls that need no key get none."""
    first, second = (calls.send_notification(to="a@x.org") for _ in range(2))
    assert first.idempotency_key
    assert first.idempotency_key != second.idempotency_key
    assert calls.send_batch([]).headers["Idempotency-Key"]
    assert calls.send_notification(to="a@x.org", idempotency_key="order-1").headers["Idempotency-Key"] == "order-1"
    assert calls.dry_run_notification(to="a@x.org").idempotency_key is None
    for begin in (job_calls.run_schedule, feed_calls.fetch_feed):
        assert begin("nightly").idempotency_key != begin("nightly").idempotency_key
        assert begin("nightly", idempotency_key="monday").headers["Idempotency-Key"] == "monday"
    assert RETRY.method is HTTPMethod.POST
    assert not RETRY.is_repeatable


def test_an_unforeseen_exception_may_have_arrived() -> None:
    """An unexpected exception counts as a request that may have arrived."""
    lost = classify_failure(httpx2.DecodingError("?"))
    assert isinstance(lost, NoResponse)
    assert (lost.may_have_arrived, lost.is_permanent) == (True, False)
