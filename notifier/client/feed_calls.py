"""Feeds: the calls, and their replies. docs/feeds.md explains the fields.

The key needs `notifications:read` to look at feeds, and `schedules:manage` for the rest. Or it is an admin key, which
may name a `service`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Required, TypedDict, Unpack

from notifier.client.api_call import (
    DELETE,
    GET,
    POST,
    PUT,
    Call,
    PageCall,
    Reply,
    build_call,
    read_as,
    read_nothing,
    read_page,
    read_replayable,
)
from notifier.client.job_calls import BegunJob
from notifier.client.request_fields import complete_key


class FeedSettings(TypedDict, total=False):
    """A feed as it is to be."""

    url: Required[str]
    format: Literal["json", "csv"]
    headers: Mapping[str, str] | None  # of the request, such as credentials; None: those that are stored
    json_schema: Mapping[str, Any] | None  # that the document must match
    row_key: str | None  # the column by which rows of two revisions are matched
    max_bytes: int
    timeout_seconds: int
    revision: int | None  # of the settings that you have loaded; 0: only a new name; None: any


@dataclass(frozen=True, kw_only=True)
class UnconfirmedDocument(Reply):
    """A document that is suddenly empty, and is not used before a person confirms it."""

    since: datetime
    reason: str
    entries: int  # rows, or keys of an object
    removed: int  # compared with the newest revision


@dataclass(frozen=True, kw_only=True)
class Feed(Reply):
    """A feed, and what came of the last attempt to load it."""

    id: str
    name: str
    url: str
    format: str
    header_names: tuple[str, ...] = ()  # their values are never returned
    json_schema: Mapping[str, Any] | None = None
    row_key: str | None = None
    max_bytes: int
    timeout_seconds: int
    status: str  # new, good, failing or unconfirmed
    latest_number: int | None = None  # the newest revision, which is in use
    received_at: datetime | None = None  # when its server last sent or confirmed that revision
    age_seconds: int | None = None  # since then
    checked_at: datetime | None = None  # the last attempt
    failing_since: datetime | None = None
    error: str | None = None  # why the last attempt failed
    unconfirmed: UnconfirmedDocument | None = None
    revision: int  # of the settings; pass it when you save
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class FeedRevision(Reply):
    """A revision of a feed, without its document."""

    number: int
    received_at: datetime
    size: int  # bytes of the document as JSON
    sha256: str  # of the document with sorted keys
    entries: int  # rows, or keys of an object
    added: int  # compared with the revision before, as are the next two
    removed: int
    changed: int
    confirmed_by: str | None = None  # if it was suddenly empty


@dataclass(frozen=True, kw_only=True)
class WholeFeedRevision(FeedRevision):
    """A revision of a feed with its document."""

    document: Mapping[str, Any] | tuple[Mapping[str, Any], ...] = field(repr=False)  # an object, or rows


def list_feeds(*, service: str | None = None) -> PageCall[Feed]:
    """List the feeds of your service by name; with an admin key those of the instance."""
    return build_call(GET, ("feeds",), read_page(Feed, "feeds"), query={"service": service})


def get_feed(name: str, /, *, service: str | None = None) -> Call[Feed]:
    """Get a feed: which revision is in use, how old it is, and why the last attempt failed."""
    return build_call(GET, ("feeds", name), read_as(Feed), query={"service": service})


def save_feed(name: str, /, *, service: str | None = None, **settings: Unpack[FeedSettings]) -> Call[Feed]:
    """Create a feed, or replace its settings. Raises `ConflictError` if they have changed since `revision`."""
    return build_call(PUT, ("feeds", name), read_as(Feed), query={"service": service}, fields=settings)


def delete_feed(name: str, /, *, service: str | None = None) -> Call[None]:
    """Delete a feed with its revisions. Schedules that fetch it fail from now on."""
    return build_call(DELETE, ("feeds", name), read_nothing, query={"service": service})


def fetch_feed(name: str, /, *, idempotency_key: str | None = None, service: str | None = None) -> Call[BegunJob]:
    """Begin a job that loads a feed now.

    Without an idempotency key one is generated, so that a repeated request never begins a second job.
    """
    key, path = complete_key(idempotency_key), ("feeds", name, "fetch")
    return build_call(POST, path, read_replayable(BegunJob), query={"service": service}, idempotency_key=key)


def confirm_feed(name: str, /, *, service: str | None = None) -> Call[Feed]:
    """Take over the document that is suddenly empty, as `unconfirmed` describes it."""
    return build_call(POST, ("feeds", name, "confirm"), read_as(Feed), query={"service": service})


def list_feed_revisions(name: str, /, *, service: str | None = None) -> PageCall[FeedRevision]:
    """List the ten newest revisions of a feed, newest first."""
    path = ("feeds", name, "revisions")
    return build_call(GET, path, read_page(FeedRevision, "revisions"), query={"service": service})


def get_feed_revision(name: str, number: int | str, /, *, service: str | None = None) -> Call[WholeFeedRevision]:
    """Get a revision of a feed with its document."""
    path = ("feeds", name, "revisions", str(number))
    return build_call(GET, path, read_as(WholeFeedRevision), query={"service": service})
