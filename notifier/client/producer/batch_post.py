"""One POST of claimed rows to `/v1/notifications/batch`, and what its answer means for each of them.

A row is taken as accepted only if the answer names the notification that it became. Nothing here touches a database.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import httpx2

from notifier.client.producer.row_store import ClaimedRow
from notifier.retry_after import parse_retry_after

BATCH_PATH = "/v1/notifications/batch"
KEY_FIELD = "idempotency_key"
_ACCEPTED = 202
_NOT_FOR_GOOD = frozenset(
    {
        "idempotency_in_progress",
        "rate_limited",
        "queue_too_long",
        "database_unavailable",
        "internal_error",
        "service_unavailable",
    }
)
"""Codes of a single row that say nothing against it."""
_ROW_MAY_BE_WRONG = frozenset({400, 413, 422})
"""The whole request was refused because of what stands in it: of a single row, that is the row."""
_NEVER_TAKEN = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 429})
"""No row of a request that was answered so has become a notification."""
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True)
class AcceptedRow:
    """The API has the row: it is this notification."""

    notification_id: UUID
    replayed: bool  # it was accepted by an earlier try


@dataclass(frozen=True, kw_only=True)
class RejectedRow:
    """The API will not have the row as it stands."""

    code: str
    problem: str  # JSON: `code`, and `errors` with pointers into the body


@dataclass(frozen=True, kw_only=True)
class UndecidedRow:
    """The row is to be tried again, in a moment."""


class Blame(Enum):
    """What a failed request says about its rows."""

    NOBODY = "nobody"  # the API is out of reach or busy
    ANY = "any"  # one of them may have caused it


@dataclass(frozen=True, kw_only=True)
class FailedPost:
    """The request as a whole was not answered with 202."""

    reason: str  # a code of the API, or the name of a network error
    blame: Blame
    reached: bool  # some rows may be notifications by now
    retry_after: float | None = None  # seconds, if the API said so


RowResult = AcceptedRow | RejectedRow | UndecidedRow
PostResult = dict[UUID, RowResult] | FailedPost


class Poster:
    """The way to the API; use it as an async context manager."""

    def __init__(self, client: httpx2.AsyncClient, *, seconds: float) -> None:
        self._client = client
        self._seconds = seconds  # for a request from its first octet to the last one of its answer

    async def post(self, rows: Sequence[ClaimedRow]) -> PostResult:
        """Hand over the rows, each under its own id; their verdicts, or why there are none."""
        # Thousands of bodies are parsed and written here: in a thread, because the event loop may be a web server's.
        content, verdicts = await asyncio.to_thread(_request, rows)
        asked = [row for row in rows if row.id not in verdicts]
        if not asked:
            return verdicts
        try:
            async with asyncio.timeout(self._seconds):
                reply = await self._client.post(
                    BATCH_PATH, content=content, headers={"Content-Type": "application/json"}, follow_redirects=False
                )
        except _NEVER_SENT as error:
            return FailedPost(reason=type(error).__name__, blame=Blame.NOBODY, reached=False)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            return FailedPost(reason=type(error).__name__, blame=Blame.ANY, reached=True)
        answer = _read(reply, asked)
        return answer if isinstance(answer, FailedPost) else verdicts | answer


def _request(rows: Sequence[ClaimedRow]) -> tuple[bytes, dict[UUID, RowResult]]:
    """The request, and the rows that are left out because they are no JSON object."""
    items, verdicts = list[bytes](), dict[UUID, RowResult]()
    for row in rows:
        try:
            items.append(_item(row))
        except (TypeError, ValueError, RecursionError):
            fault = {"pointer": "", "code": "malformed_json", "detail": "the body of the row is not a JSON object"}
            verdicts[row.id] = _refused({"code": "malformed_json", "errors": [fault]})
    return b'{"on_error":"skip_invalid","notifications":[' + b",".join(items) + b"]}", verdicts


def _item(row: ClaimedRow) -> bytes:
    """The body with its key, no larger than in the table; written anew, since a text may hold more than one value."""
    body: dict[str, Any] = json.loads(row.body)
    return json.dumps(
        body | {KEY_FIELD: str(row.id)}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()


def _read(reply: httpx2.Response, rows: Sequence[ClaimedRow]) -> PostResult:
    found = _json(reply)
    if reply.status_code == _ACCEPTED:
        results = found.get("results")
        if isinstance(results, list) and len(results) == len(rows):
            verdicts = [_verdict(result, index) for index, result in enumerate(results)]
            # A row whose result cannot be read is not confirmed: it stays, and is asked about again.
            return {row.id: verdict or UndecidedRow() for row, verdict in zip(rows, verdicts, strict=True)}
        return FailedPost(reason="malformed_reply", blame=Blame.ANY, reached=True)
    status = reply.status_code
    code = str(found.get("code") or f"http_{status}")
    if len(rows) == 1 and status in _ROW_MAY_BE_WRONG and "code" in found:
        pointers = "/notifications/0"
        return {rows[0].id: _refused({"code": code, "errors": _faults(found, pointers), "detail": found.get("detail")})}
    return FailedPost(
        reason=code,
        blame=Blame.ANY
        if status in _ROW_MAY_BE_WRONG or status == httpx2.codes.INTERNAL_SERVER_ERROR
        else Blame.NOBODY,
        reached=status not in _NEVER_TAKEN,
        retry_after=parse_retry_after(reply.headers.get("retry-after", ""), datetime.now(UTC)),
    )


def _verdict(result: Any, index: int) -> RowResult | None:
    if not isinstance(result, dict) or result.get("index") != index:
        return None
    if isinstance(error := result.get("error"), dict):
        if error.get("code") in _NOT_FOR_GOOD:
            return UndecidedRow()
        return _refused({"code": str(error.get("code")), "errors": _faults(error, f"/notifications/{index}")})
    try:
        return AcceptedRow(notification_id=UUID(result["id"]), replayed=bool(result.get("replayed")))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _refused(problem: dict[str, Any]) -> RejectedRow:
    kept = {name: value for name, value in problem.items() if value is not None}
    return RejectedRow(code=problem["code"], problem=json.dumps(kept))


def _faults(found: dict[str, Any], place: str) -> list[Any]:
    """The faults, with pointers into the row's own body."""
    faults = found.get("errors")
    return [
        fault | {"pointer": str(fault.get("pointer", "")).removeprefix(place)}
        for fault in (faults if isinstance(faults, list) else [])
        if isinstance(fault, dict)
    ]


def _json(reply: httpx2.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
