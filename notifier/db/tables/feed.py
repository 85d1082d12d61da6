"""Feeds: documents of somebody else, and the revisions of them that were valid."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type, build_json_type
from notifier.states import FeedFormat


class FeedStatus(StrEnum):
    """What came of the attempts to load a feed."""

    NEW = "new"  # there was no attempt yet
    GOOD = "good"  # the last attempt found a valid document
    FAILING = "failing"  # the last attempt failed
    UNCONFIRMED = "unconfirmed"  # the document is suddenly empty, and a person must confirm it


class Feed(Table, table=True):
    """Where a document is loaded from, what makes it valid, and what came of the last attempt."""

    __tablename__ = "feed"
    __table_args__ = (UniqueConstraint("service_id", "name"),)

    id: UUID = Field(primary_key=True)
    service_id: UUID  # INSTANCE: of the instance
    name: str = Field(max_length=64)
    url: str = Field(max_length=2048)
    format: FeedFormat = Field(sa_type=build_enum_type(FeedFormat, "format"))
    header_fields: dict[str, str] = Field(sa_type=build_json_type())  # name → value, as `SecretBox` seals it
    json_schema: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())
    row_key: str | None = Field(default=None, max_length=128)  # the column by which rows are matched
    max_bytes: int
    timeout_seconds: int
    revision: int  # of these settings; goes up with each change by a person
    latest_number: int | None = None  # of the last valid document; None: there was none
    etag: str | None = Field(default=None, max_length=256)  # of that document, as its server sent it
    last_modified: str | None = Field(default=None, max_length=64)
    received_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # when its server last sent or confirmed it
    checked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # end of the last attempt
    failing_since: datetime | None = Field(default=None, sa_type=UtcDateTime)  # no attempt has succeeded since
    error: str | None = Field(default=None, max_length=1000)  # of the last attempt
    unconfirmed: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())  # what is known of it
    unconfirmed_document: bytes | None = None  # a document that is suddenly empty, as in a revision
    created_by: str = Field(max_length=128)
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class FeedRevision(Table, table=True):
    """A valid document. It never changes; the ten newest are kept."""

    __tablename__ = "feed_revision"

    feed_id: UUID = Field(primary_key=True, foreign_key="feed.id")
    number: int = Field(primary_key=True)  # from 1
    document: bytes  # JSON in UTF-8, an object or an array of objects, compressed by zlib
    size: int  # bytes of the JSON
    sha256: bytes  # of the document with sorted keys
    entries: int  # rows, or keys of an object
    added: int  # compared with the revision before
    removed: int
    changed: int
    received_at: datetime = Field(sa_type=UtcDateTime)
    confirmed_by: str | None = Field(default=None, max_length=128)  # who confirmed a document that was suddenly empty
