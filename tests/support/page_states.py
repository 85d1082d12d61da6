"""The pages of the console in their states, as tests and pictures go through them."""

from collections.abc import Iterator
from dataclasses import dataclass

from notifier.console.page_list import PAGES, PageDescription

ERROR_PAGE = PageDescription(path="/{path}", name="error", states={"not found": "nowhere"})


@dataclass(frozen=True, kw_only=True)
class PageState:
    """A page in one of its states."""

    page: PageDescription
    name: str  # of page and state
    path: str  # `{…}` is filled in by the rig


def list_page_states() -> Iterator[PageState]:
    """List each page in each of its states, and an error page."""
    for page in (*PAGES, ERROR_PAGE):
        stem = page.path.partition("{")[0]
        for state, rest in page.states.items():
            yield PageState(page=page, name=f"{page.name} {state}".strip(), path=f"/console{stem}{rest}")
