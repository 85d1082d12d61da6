"""Sends claimed rows to `/v1/notifications/batch` in one POST, and reads the result of each row.

A row counts as accepted only if the reply names its notification. Nothing here uses a database.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2

from notifier.backoff import parse_retry_after
from notifier.client.producer.row_store import ClaimedRow

BATCH_PATH = "/v1/notifications/batch"
KEY_FIELD = "idempotency_key"
_ACCEPTED = 202
_TEMPORARY_CODES = frozenset(
    {
        "idempotency_in_progress",
        "rate_limited",
        "queue_too_long",
        "database_unavailable",
        "internal_error",
        "service_unavailable",
    }
)
"""Codes of a row that do not mean a fault of the row."""
_CONTENT_STATUSES = frozenset({400, 413, 422})
"""The request was refused because of its content: with a single row, that row is at fault."""
_REFUSED_STATUSES = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 429})
"""No row of a request with such a reply became a notification."""
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True)
class AcceptedRow:
    """The API accepted the row."""

    notification_id: UUID
    replayed: bool  # an earlier request was accepted already


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """The API refuses the row for good."""

    problem: str  # JSON: `code`, and `errors` with pointers into the body


@dataclass(frozen=True, kw_only=True)
class UndecidedRow:
    """The row is to be tried again later."""


@dataclass(frozen=True, kw_only=True)
class FailedPost:
    """The whole request failed."""

    reason: str  # a code of the API, or the name of a network error
    may_be_row_fault: bool  # False: the API is unavailable or busy
    reached: bool  # some rows may be notifications already
    retry_after: float | None = None  # seconds, from the reply


RowResult = AcceptedRow | RejectedRow | UndecidedRow
PostResult = dict[UUID, RowResult] | FailedPost


async def post_rows(client: httpx2.AsyncClient, rows: Sequence[ClaimedRow], *, seconds: float) -> PostResult:
    """Send the rows, each with its own idempotency key. Returns the result of each row, or the failed request.

    `seconds`: the limit for the whole request, to the last byte of its reply.
    """
    # In a thread, because it parses thousands of bodies and the event loop may be that of a web server.
    content, malformed = await asyncio.to_thread(_build_request, rows)
    sent = [row for row in rows if row.id not in malformed]
    if not sent:
        return malformed
    try:
        async with asyncio.timeout(seconds):
            reply = await client.post(
                BATCH_PATH, content=content, headers={"Content-Type": "application/json"}, follow_redirects=False
            )
    except _NOT_SENT as error:
        return FailedPost(reason=type(error).__name__, may_be_row_fault=False, reached=False)
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
        return FailedPost(reason=type(error).__name__, may_be_row_fault=True, reached=True)
    results = _read_reply(reply, sent)
    return results if isinstance(results, FailedPost) else malformed | results


def _build_request(rows: Sequence[ClaimedRow]) -> tuple[bytes, dict[UUID, RowResult]]:
    """Build the request. Rows that are not a JSON object are left out, and returned as refused."""
    items, malformed = list[bytes](), dict[UUID, RowResult]()
    for row in rows:
        try:
            items.append(_build_item(row))
        except (TypeError, ValueError, RecursionError):
            fault = {"pointer": "", "code": "malformed_json", "detail": "the body of the row is not a JSON object"}
            malformed[row.id] = _refuse({"code": "malformed_json", "errors": [fault]})
    return b'{"on_error":"skip_invalid","notifications":[' + b",".join(items) + b"]}", malformed


def _build_item(row: ClaimedRow) -> bytes:
    """Add the key to a body, which is parsed first: its text could hold more than one JSON value."""
    body: dict[str, Any] = json.loads(row.body)
    return json.dumps(
        body | {KEY_FIELD: str(row.id)}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()


def _read_reply(reply: httpx2.Response, rows: Sequence[ClaimedRow]) -> PostResult:
    fields = _parse_object(reply)
    if reply.status_code == _ACCEPTED:
        results = fields.get("results")
        if isinstance(results, list) and len(results) == len(rows):
            read = [_read_result(result, index) for index, result in enumerate(results)]
            # A row whose result cannot be read is not confirmed: it stays and is sent again.
            return {row.id: result or UndecidedRow() for row, result in zip(rows, read, strict=True)}
        return FailedPost(reason="malformed_reply", may_be_row_fault=True, reached=True)
    status = reply.status_code
    code = str(fields.get("code") or f"http_{status}")
    is_content_fault = status in _CONTENT_STATUSES
    if len(rows) == 1 and is_content_fault and "code" in fields:
        faults = _list_faults(fields, "/notifications/0")
        return {rows[0].id: _refuse({"code": code, "errors": faults, "detail": fields.get("detail")})}
    return FailedPost(
        reason=code,
        may_be_row_fault=is_content_fault or status == httpx2.codes.INTERNAL_SERVER_ERROR,
        reached=status not in _REFUSED_STATUSES,
        retry_after=parse_retry_after(reply.headers.get("retry-after", ""), datetime.now(UTC)),
    )


def _read_result(result: Any, index: int) -> RowResult | None:
    if not isinstance(result, dict) or result.get("index") != index:
        return None
    if isinstance(error := result.get("error"), dict):
        if error.get("code") in _TEMPORARY_CODES:
            return UndecidedRow()
        return _refuse({"code": str(error.get("code")), "errors": _list_faults(error, f"/notifications/{index}")})
    try:
        return AcceptedRow(notification_id=UUID(result["id"]), replayed=bool(result.get("replayed")))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _refuse(problem: dict[str, Any]) -> RejectedRow:
    fields = {name: value for name, value in problem.items() if value is not None}
    return RejectedRow(problem=json.dumps(fields))


def _list_faults(fields: dict[str, Any], prefix: str) -> list[Any]:
    """List the faults, with pointers into the body of the row."""
    faults = fields.get("errors")
    return [
        fault | {"pointer": str(fault.get("pointer", "")).removeprefix(prefix)}
        for fault in (faults if isinstance(faults, list) else [])
        if isinstance(fault, dict)
    ]


def _parse_object(reply: httpx2.Response) -> dict[str, Any]:
    try:
        fields = reply.json()
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
