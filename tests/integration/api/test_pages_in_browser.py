"""The pages for people in a real Chromium: readable at each width, light and dark, and every link leads somewhere."""

from collections.abc import Iterator
from urllib.parse import urldefrag, urljoin

import httpx2
import pytest
from support.browser import BrowserWindow, open_window
from support.notifier_process import NotifierProcess, build_environment
from support.seeded_installation import SqliteSeed

PAGES = {
    "/": "Notifier",
    "/problems": "Error codes",
    "/problems/not_found": "Not found",
    "/nothing/at/all": "There is nothing at this address",
}
LOOK = """
const [page, heading] = [document.body, document.querySelector('h1')].map(each => getComputedStyle(each));
return [page.backgroundColor, heading.color, document.documentElement.scrollWidth];
"""
LINKS = "return [...document.querySelectorAll('a')].map(link => link.href);"


@pytest.fixture(scope="module")
def url(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running server."""
    folder = tmp_path_factory.mktemp("pages")
    env = build_environment(folder, DATABASE_URL=sqlite_seed.copy(folder))
    with NotifierProcess("serve", "--port", "0", env=env) as server:
        yield server.wait_until_ready().rpartition(" ")[2]


@pytest.fixture(scope="module")
def window() -> Iterator[BrowserWindow]:
    """A window of a browser."""
    with open_window() as window:
        yield window


def _get_brightness(colour: str) -> float:
    return sum(float(part) for part in colour[4:-1].split(",")) / 3


@pytest.mark.parametrize("width", [375, 1280])
def test_a_page_fits_and_is_readable_in_light_and_dark(window: BrowserWindow, url: str, width: int) -> None:
    """No page scrolls sideways, breaks its own policy, or has dark text on a dark ground."""
    violations: list[str] = []
    window.page.on("console", lambda line: violations.append(line.text) if "Policy" in line.text else None)
    for path, title in PAGES.items():
        window.page.goto(url + path)
        assert window.page.locator("h1").inner_text() == title
        for scheme in ("light", "dark"):
            window.set_view(width, scheme)
            ground, text, needed = window.run_script(LOOK)
            assert needed <= width, path
            difference = _get_brightness(ground) - _get_brightness(text)
            assert (difference if scheme == "light" else -difference) > 150, (path, scheme)
    assert violations == []


def test_text_in_back_ticks_is_shown_as_code(window: BrowserWindow, url: str) -> None:
    """Of the explanation and of the index; no back-tick is left."""
    window.page.goto(f"{url}/problems/unauthenticated")
    assert window.page.locator("main p code").all_inner_texts() == [
        "unauthenticated",
        "Authorization: Bearer ntf_live_…",
    ]
    window.page.goto(f"{url}/problems")
    assert "`" not in window.page.locator("main").inner_text()
    assert "Content-Encoding" in window.page.locator("main li code").all_inner_texts()


def test_every_link_of_a_page_leads_somewhere(window: BrowserWindow, url: str) -> None:
    """Also from the page of a path that does not exist, and to places inside of a page."""
    targets: dict[str, set[str]] = {}
    for path in PAGES:
        window.page.goto(url + path)
        for link in window.run_script(LINKS):
            target, fragment = urldefrag(urljoin(url + path, link))
            targets.setdefault(target, set()).add(fragment)
    assert len(targets) > 60
    assert {f"{url}/docs", f"{url}/console/", f"{url}/readyz", f"{url}/openapi.json"} <= targets.keys()
    with httpx2.Client(headers={"Accept": "text/html"}, timeout=100) as client:
        for target, fragments in targets.items():
            reply = client.get(target)
            assert reply.status_code in {200, 303}, target
            assert all(f'id="{fragment}"' in reply.text for fragment in fragments if fragment), target
