"""The revisions of feeds: written by the job, read by whoever uses a feed. A revision never changes.

What others read is always the newest revision, which is the last document that was valid. Nothing here commits.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.tables import Feed, FeedRevision, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.feeds import feed_store
from notifier.feeds.feed_store import FeedView

KEPT_REVISIONS = 10
_COUNTS = ("size", "entries", "added", "removed", "changed")
_feed, _revision = get_columns(Feed), get_columns(FeedRevision)


class NothingToConfirmError(NotifierError):
    """No document of this feed waits for a confirmation."""


class NoFeedDocumentError(NotifierError):
    """The feed has no valid document yet, or not of the wanted form."""


@dataclass(frozen=True, kw_only=True)
class FeedRevisionView:
    """A revision without its document."""

    number: int
    size: int  # bytes of the document as JSON
    sha256: bytes
    entries: int  # rows, or keys of an object
    added: int  # compared with the revision before
    removed: int
    changed: int
    received_at: datetime
    confirmed_by: str | None


@dataclass(frozen=True, kw_only=True)
class NewRevision:
    """A valid document that is to be the newest revision."""

    document: bytes  # JSON in UTF-8, compressed by zlib
    size: int  # bytes of the JSON
    sha256: bytes
    entries: int
    added: int
    removed: int
    changed: int
    confirmed_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class FeedRows:
    """The rows of a feed."""

    number: int  # of the revision
    columns: Sequence[str]  # in the order of their first appearance
    rows: Sequence[Mapping[str, Any]]


# -- for those who use a feed ---------------------------------------------------------------------


async def get_feed_values(connection: AsyncConnection, service_id: UUID, name: str) -> Mapping[str, Any]:
    """Get the newest revision of an owner's feed as values: an object as it is, rows as `{"rows": […]}`.

    Raises `NotFoundError`, `NoFeedDocumentError`.
    """
    value = await _load_newest(connection, await feed_store.get_feed(connection, service_id, name))
    return value if isinstance(value, dict) else {"rows": value}


async def list_feed_rows(connection: AsyncConnection, service_id: UUID, name: str) -> FeedRows:
    """List the rows of the newest revision of an owner's feed.

    A CSV feed has texts; a JSON feed, which must be an array, whatever JSON has. Raises `NotFoundError`,
    `NoFeedDocumentError`.
    """
    feed = await feed_store.get_feed(connection, service_id, name)
    rows = await _load_newest(connection, feed)
    if not isinstance(rows, list):
        raise NoFeedDocumentError(f"the feed {name!r} is one object; rows need an array of objects, or CSV")
    columns = dict.fromkeys(column for row in rows for column in row)
    return FeedRows(number=feed.latest_number or 0, columns=[*columns], rows=rows)


async def _load_newest(connection: AsyncConnection, feed: FeedView) -> Any:
    document = await find_document(connection, feed)
    if document is None:
        reason = feed.error or "it has not been fetched"
        raise NoFeedDocumentError(f"the feed {feed.name!r} has no valid document yet: {reason}")
    return msgspec.json.decode(zlib.decompress(document))


async def find_document(connection: AsyncConnection, feed: FeedView) -> bytes | None:
    """Find the document of the newest revision, compressed; None if there is none."""
    newest = (_revision.feed_id == feed.id, _revision.number == feed.latest_number)
    document = (await connection.execute(select(_revision.document).where(*newest))).scalar_one_or_none()
    return bytes(document) if document is not None else None


# -- for people -----------------------------------------------------------------------------------


async def list_revisions(connection: AsyncConnection, feed: FeedView) -> list[FeedRevisionView]:
    """List the revisions that are kept, newest first."""
    query = _select_views().where(_revision.feed_id == feed.id).order_by(_revision.number.desc())
    return [FeedRevisionView(**row) for row in (await connection.execute(query)).mappings()]


async def get_revision(connection: AsyncConnection, feed: FeedView, number: int) -> tuple[FeedRevisionView, bytes]:
    """Get a revision and its document, compressed. Raises `NotFoundError`."""
    query = _select_views().add_columns(_revision.document)
    query = query.where(_revision.feed_id == feed.id, _revision.number == number)
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"the feed {feed.name!r} has no revision {number}; the {KEPT_REVISIONS} newest are kept")
    fields = {name: row[name] for name in FeedRevisionView.__dataclass_fields__}
    return FeedRevisionView(**fields), bytes(row["document"])


async def confirm_document(connection: AsyncConnection, service_id: UUID, name: str, *, actor: Actor) -> FeedView:
    """Take over the document that is suddenly empty. Raises `NotFoundError`, `NothingToConfirmError`."""
    feed = await feed_store.get_feed(connection, service_id, name, lock=True)
    query = select(_feed.unconfirmed_document).where(_feed.id == feed.id)
    document = (await connection.execute(query)).scalar_one()
    if not feed.unconfirmed or document is None:
        raise NothingToConfirmError
    counts = {field: feed.unconfirmed[field] for field in _COUNTS}
    sha256 = bytes.fromhex(feed.unconfirmed["sha256"])
    new = NewRevision(document=bytes(document), sha256=sha256, confirmed_by=actor.name, **counts)
    await write_revision(connection, feed, new, actor.at)
    # Without validators, the next attempt loads the document again and learns its own.
    await feed_store.record_success(connection, feed, actor.at, etag=None, last_modified=None)
    confirmed = await feed_store.get_feed(connection, service_id, name)
    await feed_store.record_feed(connection, AuditAction.FEED_CONFIRMED, feed, confirmed, actor)
    return confirmed


# -- for the job ----------------------------------------------------------------------------------


async def find_newest_digest(connection: AsyncConnection, feed: FeedView) -> bytes | None:
    """Find the SHA-256 of the newest revision; None if there is none."""
    newest = (_revision.feed_id == feed.id, _revision.number == feed.latest_number)
    digest = (await connection.execute(select(_revision.sha256).where(*newest))).scalar_one_or_none()
    return bytes(digest) if digest is not None else None


async def write_revision(connection: AsyncConnection, feed: FeedView, new: NewRevision, at: datetime) -> int:
    """Write a document as the newest revision of a locked feed, and delete those that are too old; its number."""
    number = (feed.latest_number or 0) + 1
    row = vars(new) | {"feed_id": feed.id, "number": number, "received_at": at}
    await connection.execute(insert(FeedRevision).values(row))
    too_old = (_revision.feed_id == feed.id, _revision.number <= number - KEPT_REVISIONS)
    await connection.execute(delete(FeedRevision).where(*too_old))
    await connection.execute(update(Feed).where(_feed.id == feed.id).values(latest_number=number))
    return number


async def write_unconfirmed(
    connection: AsyncConnection, feed: FeedView, new: NewRevision, at: datetime, *, reason: str
) -> None:
    """Keep a document that is suddenly empty until a person confirms it; the newest revision stays."""
    since = feed.unconfirmed["since"] if feed.unconfirmed else at.isoformat()
    known = {
        "since": since,
        "reason": reason,
        "sha256": new.sha256.hex(),
        **{field: getattr(new, field) for field in _COUNTS},
    }
    values = {"unconfirmed": known, "unconfirmed_document": new.document}
    await connection.execute(update(Feed).where(_feed.id == feed.id).values(values))


def _select_views() -> Any:
    return select(*(_revision[name] for name in FeedRevisionView.__dataclass_fields__))
