"""The request and reply models of feeds."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints

from notifier.api import fields
from notifier.api.request_model import RequestModel
from notifier.db.tables import FeedStatus
from notifier.feeds import feed_rules
from notifier.feeds.feed_rules import FeedRequest
from notifier.feeds.feed_store import FeedView
from notifier.feeds.revision_store import FeedRevisionView
from notifier.states import FeedFormat

MAX_SCHEMA_NAMES = 100
"""Keywords at the top of a schema."""
NAME_PATTERN = f"^{feed_rules.FEED_NAME.pattern}$"
_URL = "An https:// URL with a public host name, on port 443 or 8443; redirects are not followed."
_EXAMPLE: JsonValue = {
    "url": "https://shop.example/prices.json",
    "format": "json",
    "headers": {"Authorization": "Bearer TOKEN"},
    "json_schema": {"type": "object", "required": ["currency"]},
}
_HEADERS = (
    "Header fields of the request, such as credentials: encrypted in the database, and never shown again. Left out: the"
    " stored ones stay, unless the URL leads to another host."
)
_ROW_KEY = (
    "The column by which rows of two revisions are matched; each row must then have a different value in it. Left out:"
    " whole rows are compared."
)


_Headers = Annotated[
    dict[str, str],
    Field(
        max_length=feed_rules.MAX_HEADER_FIELDS,
        json_schema_extra={
            "propertyNames": {"pattern": f"^{feed_rules.HEADER_NAME.pattern}$", "maxLength": 64},
            "additionalProperties": {"type": "string", "maxLength": feed_rules.MAX_HEADER_VALUE_LENGTH},
        },
    ),
]
_JsonSchema = Annotated[dict[str, Any], Field(max_length=MAX_SCHEMA_NAMES)]
_RowKey = Annotated[str, StringConstraints(min_length=1, max_length=feed_rules.MAX_ROW_KEY_LENGTH)]
_Revision = Annotated[int, Field(ge=0, le=2**31 - 2), BeforeValidator(fields.convert_whole_number)]


class FeedIn(RequestModel):
    """A feed as it is to be."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    url: Annotated[str, StringConstraints(max_length=2048), fields.document_field(format="iri")] = Field(
        description=_URL
    )
    format: FeedFormat = Field(
        FeedFormat.JSON,
        strict=False,
        description="`json`: an object or an array of objects. `csv`: rows under a line of headings.",
    )
    headers: _Headers | None = Field(None, description=_HEADERS)
    json_schema: _JsonSchema | None = Field(
        None, description="A JSON Schema that the document must match; at most 32 KiB."
    )
    row_key: _RowKey | None = Field(None, description=_ROW_KEY)
    max_bytes: fields.WholeNumber = Field(
        feed_rules.DEFAULT_DOCUMENT_BYTES,
        ge=feed_rules.MIN_DOCUMENT_BYTES,
        le=feed_rules.MAX_DOCUMENT_BYTES,
        description="A larger document is not used; also after decompression.",
    )
    timeout_seconds: fields.WholeNumber = Field(
        feed_rules.DEFAULT_TIMEOUT_SECONDS,
        ge=1,
        le=feed_rules.MAX_TIMEOUT_SECONDS,
        description="For the whole attempt, from the name query to the last byte.",
    )
    revision: _Revision | None = Field(
        None, description="The revision of the settings that you have loaded; 0 for a new name. Left out: any."
    )

    def build_request(self) -> FeedRequest:
        """Build the request for the operation."""
        return FeedRequest(**{name: getattr(self, name) for name in FeedRequest.__dataclass_fields__})


class UnconfirmedOut(BaseModel):
    """A document that is suddenly empty, and is not used before a person confirms it."""

    since: datetime
    reason: str
    entries: int = Field(description="Rows, or keys of an object.")
    removed: int = Field(description="Compared with the newest revision.")


class FeedOut(BaseModel):
    """A feed, and what came of the last attempt to load it."""

    id: UUID
    name: str
    url: str
    format: FeedFormat
    header_names: list[str] = Field(description="The names of its header fields; their values are never shown.")
    json_schema: dict[str, Any] | None
    row_key: str | None
    max_bytes: int
    timeout_seconds: int
    status: FeedStatus
    latest_number: int | None = Field(description="The newest revision, which is in use; null: there is none.")
    received_at: datetime | None = Field(description="When its server last sent or confirmed that revision.")
    age_seconds: int | None = Field(description="Since then.")
    checked_at: datetime | None = Field(description="The last attempt.")
    failing_since: datetime | None = Field(description="No attempt has succeeded since then.")
    error: str | None = Field(description="Why the last attempt failed.")
    unconfirmed: UnconfirmedOut | None
    revision: int = Field(description="Of the settings.")
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


class FeedsOut(BaseModel):
    """The feeds of the owner, by name."""

    feeds: list[FeedOut]


class FeedRevisionOut(BaseModel):
    """A revision of a feed's document."""

    number: int
    received_at: datetime
    size: int = Field(description="Bytes of the document as JSON.")
    sha256: str = Field(description="Of the document with sorted keys.")
    entries: int = Field(description="Rows, or keys of an object.")
    added: int = Field(description="Compared with the revision before, as are `removed` and `changed`.")
    removed: int
    changed: int
    confirmed_by: str | None = Field(description="Who confirmed it, if it was suddenly empty.")


class FeedRevisionsOut(BaseModel):
    """The revisions that are kept, newest first."""

    revisions: list[FeedRevisionOut]


class FeedRevisionDetailOut(FeedRevisionOut):
    """A revision with its document."""

    document: Annotated[Any, Field(description="An object, or an array of rows, as objects. CSV has become texts.")]


def build_feed_reply(feed: FeedView, now: datetime) -> dict[str, Any]:
    """Build the reply for a feed, without the values of its header fields."""
    computed = {"header_names", "age_seconds", "unconfirmed"}
    reply = {name: getattr(feed, name) for name in FeedOut.model_fields if name not in computed}
    age = max(0, int((now - feed.received_at).total_seconds())) if feed.received_at else None
    return reply | {
        "header_names": [*feed.header_fields],
        "age_seconds": age,
        "unconfirmed": feed.unconfirmed or None,
    }


def build_revision_reply(revision: FeedRevisionView) -> dict[str, Any]:
    """Build the reply for a revision, without its document."""
    return vars(revision) | {"sha256": revision.sha256.hex()}
