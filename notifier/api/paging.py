"""Keyset pages: the cursor of the next page is in the body, and its link in the header (RFC 8288)."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict

MOST = 200
Limit = Annotated[int, Query(ge=1, le=MOST, description="Maximum number of entries on a page.")]
Before = Annotated[UUID | None, Query(description="The `next` of the previous page.")]

NO_NUL = "^[^\\x00]*$"
"""The pattern of texts in a search: PostgreSQL stores no NUL."""


class PageQuery(BaseModel):
    """Which page of a list; each list adds the fields by which it is searched."""

    model_config = ConfigDict(extra="forbid")

    limit: Limit = 50
    before: Before = None


class _Identified(Protocol):
    @property
    def id(self) -> UUID:
        """The id, by which the list is sorted."""


View = TypeVar("View", bound=_Identified)


def cut(request: Request, response: Response, rows: Sequence[View], limit: int) -> tuple[Sequence[View], Any]:
    """Cut `limit` + 1 rows to a page; returns it and the cursor of the next one (None: it is the last)."""
    page = rows[:limit]
    if len(rows) <= limit:
        return page, None
    cursor = page[-1].id
    link(request, response, cursor)
    return page, cursor


def link(request: Request, response: Response, cursor: UUID) -> None:
    """Add the link of the next page to the header."""
    url = request.url.include_query_params(before=str(cursor))
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
