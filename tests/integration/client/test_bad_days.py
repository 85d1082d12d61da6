"""Against a failing server: what is repeated, with which key, and what the caller sees."""

import json
import logging
import socket
import time
from typing import Any

import pytest
from integration.client.both_clients import KEY, Connect
from integration.client.scripted_server import Server, answer, drop, garbage, half, problem, silence

from notifier.client import (
    ApiError,
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    MalformedReplyError,
    RateLimitedError,
    RetryPolicy,
    ServerError,
)

ID = "0197c0de-0000-7000-8000-000000000001"
SENT = {"id": ID, "status": "queued", "created_at": "2026-01-31T12:00:00Z"}
MAIL: dict[str, Any] = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada"}}
ACCEPTED = answer(202, SENT)
AGAIN = {
    "dropped after it was read": drop,
    "half an answer": half,
    "another protocol": garbage,
    "503": problem(503, "database_unavailable", Retry_After="0"),
    "503 without a word": answer(503, b"<html>", Content_Type="text/html"),
    "429": problem(429, "rate_limited", Retry_After="0"),
    "409 in progress": problem(409, "idempotency_in_progress", Retry_After="0"),
    "502 of a proxy": answer(502, b"<html>", Content_Type="text/html"),
    "504 of a proxy": answer(504, b""),
}


@pytest.mark.parametrize("name", AGAIN)
async def test_a_send_is_repeated_with_the_same_key(connect: Connect, name: str) -> None:
    """After two failures the third request is accepted; all three have the same bytes and the same key."""
    with Server(AGAIN[name], AGAIN[name], ACCEPTED) as server:
        client = connect(server.url)
        sent = await client("send", **MAIL)
        await client.close()
    assert (sent.id, sent.status, sent.replayed) == (ID, "queued", False)
    assert len(server.requests) == 3
    assert len({(request.key, request.body) for request in server.requests}) == 1
    assert server.requests[0].key
    assert json.loads(server.requests[0].body) == MAIL


async def test_what_is_sent_along(connect: Connect) -> None:
    """A request has the path, API key, user agent and idempotency key; a replay is reported as one."""
    with Server(answer(202, SENT, Idempotent_Replayed="true")) as server:
        client = connect(f"{server.url}/notifier/")
        sent = await client("send", **MAIL, idempotency_key="order-1")
        await client("send", **MAIL)
        await client.close()
    first, second = server.requests
    assert sent.replayed
    assert (first.method, first.path, first.key) == ("POST", "/notifier/v1/notifications", "order-1")
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert first.headers["user-agent"].startswith("notifier-python/")
    assert first.headers["content-type"] == "application/json"
    assert second.key
    assert second.key != "order-1"


async def test_a_slow_server_is_left_in_time(connect: Connect) -> None:
    """A try ends with its timeout, and the next one gets a reply."""
    with Server(silence, ACCEPTED) as server:
        client = connect(server.url, timeout=0.2)
        sent = await client("send", **MAIL)
        await client.close()
    assert sent.id == ID
    assert server.requests[0].key == server.requests[1].key


async def test_retry_after_is_honoured(connect: Connect) -> None:
    """The next request is sent no earlier than Retry-After says."""
    with Server(problem(503, "database_unavailable", Retry_After="1"), ACCEPTED) as server:
        client = connect(server.url)
        begun = time.monotonic()
        await client("send", **MAIL)
        assert time.monotonic() - begun >= 1.0
        await client.close()


async def test_a_wait_beyond_the_total_time_is_not_begun(connect: Connect) -> None:
    """A wait that exceeds the total time raises at once, with the time to come back."""
    with Server(problem(429, "rate_limited", Retry_After="3600")) as server:
        client = connect(server.url)
        with pytest.raises(RateLimitedError) as caught:
            await client("send", **MAIL)
        await client.close()
    assert (caught.value.retry_after, len(server.requests)) == (3600.0, 1)


async def test_the_total_time_ends_a_silent_server(connect: Connect) -> None:
    """The total time limits all tries together, whatever a single try may take."""
    with Server(silence) as server:
        client = connect(server.url, timeout=30.0, retries=RetryPolicy(tries=100, seconds=0.5, first_wait=0.01))
        with pytest.raises(ConnectionFailedError) as caught:
            await client("send", **MAIL)
        await client.close()
    assert caught.value.maybe_done


async def test_tries_have_an_end(connect: Connect) -> None:
    """After the four requests of the policy the last error is raised."""
    with Server(problem(503, "database_unavailable", Retry_After="0")) as server:
        client = connect(server.url)
        with pytest.raises(ServerError) as caught:
            await client("send", **MAIL)
        await client.close()
    assert (caught.value.code, caught.value.request_id, len(server.requests)) == ("database_unavailable", "9f2c", 4)


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (400, "malformed_json", InvalidRequestError),
        (401, "unauthenticated", AuthenticationError),
        (409, "already_ended", ConflictError),
        (422, "idempotency_key_reused", InvalidRequestError),
        (500, "internal_error", ServerError),
    ],
)
async def test_what_will_not_change_is_not_repeated(
    connect: Connect, status: int, code: str, family: type[ApiError]
) -> None:
    """A permanent error is raised after one request."""
    with Server(problem(status, code)) as server:
        client = connect(server.url)
        with pytest.raises(family) as caught:
            await client("send", **MAIL)
        await client.close()
    assert (caught.value.code, len(server.requests)) == (code, 1)


async def test_a_redirect_is_not_followed(connect: Connect) -> None:
    """A redirect is not followed, so that the key goes to no other address."""
    with Server(ACCEPTED) as elsewhere, Server(answer(307, b"", Location=elsewhere.url)) as server:
        client = connect(server.url)
        with pytest.raises(ApiError) as caught:
            await client("send", **MAIL)
        await client.close()
    assert (caught.value.status, elsewhere.requests) == (307, [])


@pytest.mark.parametrize("content", [b"", b"<html>It works!</html>", b'{"id": 1}', b"[]"])
async def test_a_malformed_answer(connect: Connect, content: bytes) -> None:
    """A malformed reply, for example from a wrong address, raises our error at once."""
    with Server(answer(202, content)) as server:
        client = connect(server.url)
        with pytest.raises(MalformedReplyError):
            await client("send", **MAIL)
        await client.close()
    assert len(server.requests) == 1


async def test_a_lost_retry_is_not_repeated(connect: Connect) -> None:
    """A lost `retry` or `resolve` is not repeated, because it could send twice; the error says that it may be done."""
    with Server(drop) as server:
        client = connect(server.url)
        for call in (("retry", ID), ("resolve", ID, "resend")):
            with pytest.raises(ConnectionFailedError, match="may have taken effect"):
                await client(*call)
        await client.close()
    assert len(server.requests) == 2


async def test_a_lost_cancel_is_repeated(connect: Connect) -> None:
    """A lost `cancel` is repeated, because cancelling twice is no error."""
    with Server(drop, answer(200, SENT | {"to": "ada@example.com", "status": "cancelled"})) as server:
        client = connect(server.url)
        assert (await client("cancel", ID, comment="sold out")).status == "cancelled"
        await client.close()
    assert [json.loads(request.body) for request in server.requests] == [{"comment": "sold out"}] * 2


async def test_nobody_listens(connect: Connect) -> None:
    """When every connection is refused, the error says that nothing was done, and does not contain the key."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        client = connect(f"http://127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(ConnectionFailedError, match="nothing was done") as caught:
            await client("retry", ID)
    assert (caught.value.tries, caught.value.maybe_done) == (4, False)
    assert KEY not in str(caught.value) + repr(caught.value)


async def test_a_batch_that_is_still_being_written(connect: Connect) -> None:
    """While the API reports a key as in progress, the same batch is repeated until it has an id."""
    writing = {"results": [{"index": 0, "error": {"code": "idempotency_in_progress", "errors": []}}]}
    done = {"batch_id": ID, "results": [{"index": 0, "replayed": True} | SENT]}
    with Server(drop, answer(202, writing), answer(202, done)) as server:
        client = connect(server.url)
        batch = await client("send_batch", [MAIL])
        await client.close()
    assert (batch.batch_id, batch.accepted[0].id, batch.refused) == (ID, ID, ())
    assert len({(request.key, request.body) for request in server.requests}) == 1


async def test_pages_are_walked_through_trouble(connect: Connect) -> None:
    """A page that fails once is requested again, and no page is missed."""
    first, second = (SENT | {"id": name, "to": "ada@example.com"} for name in ("b", "a"))
    pages = (
        answer(200, {"notifications": [first], "next": "b"}),
        problem(503, "database_unavailable", Retry_After="0"),
        answer(200, {"notifications": [second], "next": None}),
    )
    with Server(*pages) as server:
        client = connect(server.url)
        notifications = await client("list", status="queued", limit=1)
        await client.close()
    assert [notification.id for notification in notifications] == ["b", "a"]
    assert [request.path for request in server.requests] == [
        "/v1/notifications?status=queued&limit=1",
        "/v1/notifications?status=queued&limit=1&before=b",
        "/v1/notifications?status=queued&limit=1&before=b",
    ]


async def test_the_key_and_the_mail_are_not_logged(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Even at debug level a retry is logged in one line, without the key, addresses or variables."""
    with caplog.at_level(logging.DEBUG), Server(drop, problem(503, "x", Retry_After="0"), ACCEPTED) as server:
        client = connect(server.url)
        await client("send", **MAIL)
        await client.close()
    log_lines = [record.getMessage() for record in caplog.records]
    assert [line for line in log_lines if "s3cr3t" in line or "ada@" in line or "Ada" in line] == []
    assert len([record for record in caplog.records if record.name == "notifier.client"]) == 2


async def test_parts_of_the_client(connect: Connect) -> None:
    """Suppressions and webhooks are retried in the same way; a reply without content returns None."""
    hook = {"id": ID, "url": "https://shop.example/hook", "secret": "whsec_c2VjcmV0"}
    script = (
        answer(200, {"suppressions": [{"id": ID, "address": "a@x.org", "reason": "requested"}], "next": None}),
        problem(503, "x", Retry_After="0"),
        answer(201, {"id": ID, "address": "b@x.org"}),
        answer(204, b""),
        answer(201, hook),
        answer(200, {"webhooks": [hook]}),
    )
    with Server(*script) as server:
        client = connect(server.url)
        assert [item.address for item in await client("suppressions.list")] == ["a@x.org"]
        assert (await client("suppressions.add", "b@x.org", scope="all")).address == "b@x.org"
        assert await client("suppressions.lift", ID) is None
        made = await client("webhooks.create", url="https://shop.example/hook")
        assert (made.secret, "c2VjcmV0" in repr(made)) == ("whsec_c2VjcmV0", False)
        assert [item.id for item in await client("webhooks.list")] == [ID]
        await client.close()
    assert len(server.requests) == 6


def _stream_that_breaks(handler: Any) -> None:
    """Send one event of a batch and then break off."""
    event = b'data: {"id": "' + ID.encode() + b'", "ended": 1}\n\ndata: {"id'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 500\r\n\r\n"
    handler.wfile.write(head + event)
    handler.close_connection = True


async def test_a_stream_that_breaks(connect: Connect) -> None:
    """A broken stream is requested again only before its first event, so that no event is delivered twice."""
    with Server(problem(503, "database_unavailable", Retry_After="0"), drop, _stream_that_breaks) as server:
        client = connect(server.url)
        with pytest.raises(ConnectionFailedError):
            await client("watch_batch", ID)
        await client.close()
    assert [request.path for request in server.requests] == [f"/v1/batches/{ID}/progress"] * 3
    assert server.requests[0].headers["accept"].startswith("text/event-stream")
