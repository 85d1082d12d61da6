"""Pages by keyset: the cursor of the next one in the body, and the whole link in the header (RFC 8288)."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

from fastapi import Query, Request, Response

MAX_PAGE_SIZE = 200
PageLimit = Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="How many on a page.")]
PageCursor = Annotated[UUID | None, Query(description="The `next` of the page before.")]

NO_NUL = "^[^\\x00]*$"
"""Of every text that is looked for: PostgreSQL has none with it."""


class _Identified(Protocol):
    @property
    def id(self) -> UUID:
        """What orders the list."""


View = TypeVar("View", bound=_Identified)


def cut_page(request: Request, response: Response, found: Sequence[View], limit: int) -> tuple[Sequence[View], Any]:
    """The page, and the cursor of the next one (None: it is the last), of one more than `limit` rows."""
    page = found[:limit]
    if len(found) <= limit:
        return page, None
    cursor = page[-1].id
    add_next_link(request, response, cursor)
    return page, cursor


def add_next_link(request: Request, response: Response, cursor: UUID) -> None:
    """Name the next page in the header."""
    url = request.url.include_query_params(before=str(cursor))
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
