"""The common shape of all refusals, and short forms to compare them."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2

FIELDS = {"type", "title", "status", "code", "detail", "errors", "request_id"}
Written = Callable[[], Awaitable[tuple[int, ...]]]
"""Asks the database how many notifications, contents and outbox entries it has."""
NOTHING = (0, 0, 0)
_TOLD_TOO_MUCH = re.compile(
    r"ntf_live_|Traceback|File \"|site-packages|sqlalchemy|asyncpg|sqlite3|SELECT |INSERT |outbox_entry", re.IGNORECASE
)


def problem(reply: httpx2.Response) -> dict[str, Any]:
    """The problem document of a reply, after checking that its shape is right and it leaks nothing."""
    assert reply.headers["content-type"] == "application/problem+json", (reply.status_code, reply.text)
    body: dict[str, Any] = reply.json()
    assert set(body) - {"more_errors"} == FIELDS
    assert body["status"] == reply.status_code
    assert body["type"] == f"/problems/{body['code']}"
    assert re.fullmatch(r"[0-9a-f]{16}", body["request_id"])
    assert all(set(error) == {"pointer", "code", "detail"} for error in body["errors"])
    assert all(error["pointer"] == "" or error["pointer"].startswith("/") for error in body["errors"])
    assert body["title"]
    assert not _TOLD_TOO_MUCH.search(reply.text), reply.text
    return body


def outcome(reply: httpx2.Response) -> tuple[int, str]:
    """Status and code."""
    if reply.status_code < 400:
        return reply.status_code, ""
    return reply.status_code, str(problem(reply)["code"])


def faults(reply: httpx2.Response) -> set[tuple[str, str]]:
    """Pointer and code of each fault of a 422."""
    body = problem(reply)
    assert body["status"] == 422, body
    return {(error["pointer"], error["code"]) for error in body["errors"]}
