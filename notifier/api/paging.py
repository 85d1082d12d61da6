"""Pages by keyset: the cursor of the next one in the body, and the whole link in the header (RFC 8288)."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict

MOST = 200
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many on a page.")]
Before = Annotated[UUID | None, Query(description="The `next` of the page before.")]

NO_NUL = "^[^\\x00]*$"
"""Of every text that is looked for: PostgreSQL has none with it."""


class PageQuery(BaseModel):
    """Which page of a list; each list adds the fields by which it is searched."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = 50
    before: Before = None


class _Identified(Protocol):
    @property
    def id(self) -> UUID:
        """What orders the list."""


View = TypeVar("View", bound=_Identified)


def cut(request: Request, response: Response, found: Sequence[View], limit: int) -> tuple[Sequence[View], Any]:
    """The page, and the cursor of the next one (None: it is the last), of one more than `limit` rows."""
    page = found[:limit]
    if len(found) <= limit:
        return page, None
    cursor = page[-1].id
    link(request, response, cursor)
    return page, cursor


def link(request: Request, response: Response, cursor: UUID) -> None:
    """Name the next page in the header."""
    url = request.url.include_query_params(before=str(cursor))
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
