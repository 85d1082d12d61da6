"""The pages of the console in their states, as tests and pictures go through them."""

from collections.abc import Iterator
from dataclasses import dataclass

from notifier.console.page_list import PAGES, PageDescription

ERROR_PAGE = PageDescription(path="/{path}", name="error", states={"not found": "nowhere"})
REFUSED_PAGE = PageDescription(path="/new-template", name="error", states={"not allowed": ""})


@dataclass(frozen=True, kw_only=True)
class PageState:
    """A page in one of its states."""

    page: PageDescription
    name: str  # of page and state
    path: str  # `{…}` is filled in by the rig
    role: str | None = "admin"  # who looks; None: somebody who is not signed in


def list_page_states() -> Iterator[PageState]:
    """List each page in each of its states, and error pages."""
    for page in (*PAGES, ERROR_PAGE, REFUSED_PAGE):
        stem = page.path.partition("{")[0]
        for state, rest in page.states.items():
            role = None if page.is_open else "nobody" if page is REFUSED_PAGE else "admin"
            yield PageState(page=page, name=f"{page.name} {state}".strip(), path=f"/console{stem}{rest}", role=role)
