"""Keyset pages. The body has the cursor of the next page, and the Link header its URL (RFC 8288)."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict

MAX_PAGE_SIZE = 200
PageLimit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="Maximum number of entries on a page.")]
PageCursor = Annotated[UUID | None, Query(description="The `next` of the previous page.")]

NO_NUL = "^[^\\x00]*$"
"""The pattern of texts in a search: PostgreSQL stores no NUL."""


class PageQuery(BaseModel):
    """Which page of a list; each list adds the fields by which it is searched."""

    model_config = ConfigDict(extra="forbid")

    limit: PageLimit = 50
    before: PageCursor = None


def cut_page(
    request: Request, response: Response, rows: Sequence[Any], limit: int
) -> tuple[Sequence[Any], UUID | None]:
    """Cut `limit` + 1 rows to a page; returns the page and the cursor of the next one (None: this is the last)."""
    page = rows[:limit]
    if len(rows) <= limit:
        return page, None
    cursor: UUID = page[-1].id
    add_next_link(request, response, cursor)
    return page, cursor


def add_next_link(request: Request, response: Response, cursor: UUID) -> None:
    """Add the link of the next page to the header."""
    url = request.url.include_query_params(before=str(cursor))
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
