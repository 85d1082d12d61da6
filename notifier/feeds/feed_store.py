"""Feeds: save, delete, list, and what came of the last attempt. Each operation writes its own audit record.

A feed belongs to a service, or to the instance; nobody else sees it. The values of its header fields are stored as
`SecretBox` seals them, and are never shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import audit
from notifier.audit import Actor, AuditAction
from notifier.db.dialect import insert_if_absent
from notifier.db.tables import Feed, FeedRevision, FeedStatus, get_columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.feeds.feed_rules import FeedRequest
from notifier.ids import generate_id
from notifier.states import FeedFormat
from notifier.webhooks.endpoint_secret import SecretBox

MAX_FEEDS = 50
"""Feeds of one owner."""
_ERROR_LENGTH = 1000
_feed, _revision = get_columns(Feed), get_columns(FeedRevision)
_CHANGEABLE = ("url", "format", "json_schema", "row_key", "max_bytes", "timeout_seconds")
_CAUGHT_UP: Mapping[str, Any] = {
    "failing_since": None,
    "error": None,
    "unconfirmed": None,
    "unconfirmed_document": None,
}
"""The columns of a feed whose last attempt found a valid document."""


class StaleFeedError(NotifierError):
    """Edit conflict: somebody changed the feed after the revision that you sent. Load it and try again."""


class TooManyFeedsError(NotifierError):
    """The owner has the maximum number of feeds."""


@dataclass(frozen=True, kw_only=True)
class FeedView:
    """A feed as it is stored."""

    id: UUID
    service_id: UUID
    name: str
    url: str
    format: FeedFormat
    header_fields: Mapping[str, str] = field(repr=False)  # sealed
    json_schema: Mapping[str, Any] | None
    row_key: str | None
    max_bytes: int
    timeout_seconds: int
    revision: int
    latest_number: int | None  # of the last valid document
    etag: str | None
    last_modified: str | None
    received_at: datetime | None  # when the server last sent or confirmed that document
    checked_at: datetime | None
    failing_since: datetime | None
    error: str | None
    unconfirmed: Mapping[str, Any] | None
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime

    @property
    def status(self) -> FeedStatus:
        """What came of the last attempt."""
        if self.unconfirmed:
            return FeedStatus.UNCONFIRMED
        if self.error is not None:
            return FeedStatus.FAILING
        return FeedStatus.NEW if self.checked_at is None else FeedStatus.GOOD


_VIEW_COLUMNS = [_feed[name] for name in FeedView.__dataclass_fields__]


async def save_feed(
    connection: AsyncConnection, service_id: UUID, name: str, request: FeedRequest, box: SecretBox, *, actor: Actor
) -> FeedView:
    """Create or change a feed whose settings have no faults. Its revisions stay.

    Raises `InvalidRequestError` if stored header fields would go to another host, `StaleFeedError`,
    `TooManyFeedsError`.
    """
    stored = await find_feed(connection, service_id, name, lock=True)
    if request.revision not in (None, stored.revision if stored else 0):
        raise StaleFeedError
    values: dict[str, Any] = {column: getattr(request, column) for column in _CHANGEABLE} | {
        "updated_by": actor.name,
        "updated_at": actor.at,
    }
    if request.headers is not None:
        values["header_fields"] = {key: box.seal(value) for key, value in request.headers.items()}
    if stored is None:
        return await _insert_feed(connection, service_id, name, values, actor)
    if request.headers is None and stored.header_fields and _get_origin(stored.url) != _get_origin(request.url):
        detail = "the URL leads to another host: send the header fields again, or {} to have none"
        raise InvalidRequestError([Fault("/headers", "headers_needed", detail)])
    is_same = all(getattr(stored, column) == values[column] for column in _CHANGEABLE)
    if is_same and request.headers is None:
        actor.record_no_change()
        return stored
    # The stored validators are of another document, and what is known of the last attempt is too.
    values |= {**_CAUGHT_UP, "etag": None, "last_modified": None, "checked_at": None}
    values["revision"] = stored.revision + 1
    await connection.execute(update(Feed).where(_feed.id == stored.id).values(values))
    saved = await get_feed(connection, service_id, name)
    await record_feed(connection, AuditAction.FEED_SAVED, stored, saved, actor)
    return saved


async def _insert_feed(
    connection: AsyncConnection, service_id: UUID, name: str, values: Mapping[str, Any], actor: Actor
) -> FeedView:
    count = await connection.execute(select(func.count()).where(_feed.service_id == service_id))
    if count.scalar_one() >= MAX_FEEDS:
        raise TooManyFeedsError
    row = (
        {"header_fields": {}}
        | dict(values)
        | {
            "id": generate_id(),
            "service_id": service_id,
            "name": name,
            "revision": 1,
            "created_by": actor.name,
            "created_at": actor.at,
        }
    )
    present = {column: value for column, value in row.items() if value is not None}  # None would be JSON's null
    if not await insert_if_absent(connection, Feed, present):
        raise StaleFeedError
    saved = await get_feed(connection, service_id, name)
    await record_feed(connection, AuditAction.FEED_SAVED, None, saved, actor)
    return saved


async def list_feeds(connection: AsyncConnection, service_id: UUID | None) -> list[FeedView]:
    """List the feeds of an owner, or all if `service_id` is None, by name."""
    query = select(*_VIEW_COLUMNS).order_by(_feed.service_id, _feed.name)
    if service_id is not None:
        query = query.where(_feed.service_id == service_id)
    return [_build_view(row) for row in (await connection.execute(query)).mappings()]


async def get_feed(connection: AsyncConnection, service_id: UUID, name: str, *, lock: bool = False) -> FeedView:
    """Get a feed of an owner; `lock` keeps others from changing it. Raises `NotFoundError`."""
    feed = await find_feed(connection, service_id, name, lock=lock)
    if feed is None:
        raise NotFoundError(f"there is no feed named {name!r}")
    return feed


async def find_feed(connection: AsyncConnection, service_id: UUID, name: str, *, lock: bool = False) -> FeedView | None:
    """Find a feed of an owner; None if there is none."""
    query = select(*_VIEW_COLUMNS).where(_feed.service_id == service_id, _feed.name == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return _build_view(row) if row is not None else None


async def delete_feed(connection: AsyncConnection, service_id: UUID, name: str, *, actor: Actor) -> None:
    """Delete a feed with its revisions. Raises `NotFoundError`."""
    stored = await get_feed(connection, service_id, name, lock=True)
    await connection.execute(delete(FeedRevision).where(_revision.feed_id == stored.id))
    await connection.execute(delete(Feed).where(_feed.id == stored.id))
    await record_feed(connection, AuditAction.FEED_DELETED, stored, None, actor)


async def record_success(
    connection: AsyncConnection, feed: FeedView, at: datetime, *, etag: str | None, last_modified: str | None
) -> None:
    """Record that the server sent or confirmed the newest revision."""
    values = {"etag": etag, "last_modified": last_modified, "received_at": at, "checked_at": at}
    await connection.execute(update(Feed).where(_feed.id == feed.id).values(dict(_CAUGHT_UP) | values))


async def record_failure(connection: AsyncConnection, id_: UUID, reason: str, at: datetime) -> None:
    """Record why the last attempt failed. The newest revision stays."""
    values = {
        "error": reason[:_ERROR_LENGTH],
        "checked_at": at,
        "failing_since": func.coalesce(_feed.failing_since, at),
    }
    await connection.execute(update(Feed).where(_feed.id == id_).values(values))


async def record_feed(
    connection: AsyncConnection, action: AuditAction, before: FeedView | None, after: FeedView | None, actor: Actor
) -> None:
    """Write the audit record of an operation on a feed."""
    feed = after or before
    if feed is None:
        return
    record = audit.AuditRecord(
        action=action,
        object_id=feed.id,
        service_id=feed.service_id if feed.service_id.int else None,
        before=_describe(before),
        after=_describe(after),
    )
    await audit.write_audit_record(connection, record, actor)


async def list_stored_values(connection: AsyncConnection) -> list[str]:
    """List the values of all header fields as they are stored, to check that they can be read."""
    rows = await connection.execute(select(_feed.header_fields))
    return [value for fields in rows.scalars() for value in fields.values()]


def _describe(feed: FeedView | None) -> dict[str, Any] | None:
    """Describe a feed for the audit, without what may be a secret: the query of its URL, and its header values."""
    if feed is None:
        return None
    names = ("name", "format", "row_key", "max_bytes", "timeout_seconds", "latest_number")
    described = {name: getattr(feed, name) for name in names}
    schema = feed.json_schema is not None
    return described | {"url": feed.url.partition("?")[0], "header_names": [*feed.header_fields], "has_schema": schema}


def _get_origin(url: str) -> tuple[str, str | None, int | None]:
    """Get scheme, host and port of a valid URL: whoever gets the header fields."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _build_view(row: Mapping[Any, Any]) -> FeedView:
    return FeedView(**{name: row[name] for name in FeedView.__dataclass_fields__})
