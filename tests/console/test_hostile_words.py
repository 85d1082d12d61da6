"""Words of strangers in every field of every page about mail are only words."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from playwright.sync_api import Page, expect
from support.console_browser import PHONE, ConsoleBrowser, find_hidden_characters, find_overflow
from support.console_browser import find_violations as find_policy_violations
from support.console_client import SAME_ORIGIN
from support.console_rig import ConsoleRig
from support.hostile_words import HOSTILE, MAILS, list_shares
from support.staff_people import MANY_BROWSERS

MAIL = "/console/mail"
VIEWS = ("html", "text", "source", "headers", "values", "files")


@contextmanager
def _open_watched(rig: ConsoleRig, browser: ConsoleBrowser, token: str | None) -> Iterator[Page]:
    """Open a page; afterwards nothing may have run, been loaded from elsewhere, opened or downloaded."""
    browser.take_faults()
    left: list[str] = []
    with browser.open_page(token=token, width=PHONE) as page:
        page.on("request", lambda request: left.append(request.url))
        page.on("popup", lambda popup: left.append(f"popup {popup.url}"))
        page.on("download", lambda download: left.append(f"download {download.url}"))
        yield page
    assert [what for what in left if not what.startswith((rig.url, "data:"))] == []
    assert browser.take_faults() == []


def _look_at(page: Page, path: str) -> None:
    page.goto(path)
    assert find_policy_violations(page) == [], path
    assert find_overflow(page) == [], path
    assert find_hidden_characters(page) == [], path
    assert page.url.endswith(path), path


def test_a_mail_full_of_them(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Subject, texts, tags, metadata, file names and the server's reply: forty words in each, in every view."""
    with _open_watched(rig, browser, rig.tokens["admin"]) as page:
        for number in range(MAILS):
            here = f"{MAIL}/{rig.examples[f'hostile_mail_{number}']}"
            for view in VIEWS:
                _look_at(page, f"{here}?view={view}")
        expect(page.get_by_role("table")).to_contain_text(".txt")
        page.goto(here)
        frame = page.frame_locator("iframe")
        expect(frame.locator("p").first).to_be_attached()
        page.goto(f"{here}/frame")  # opened by itself it is as harmless
        expect(page.locator("p").first).to_be_attached()


def test_a_search_for_them(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """In the box, in the list of mails, and on the card of an address with a note of the one who suppressed it."""
    with _open_watched(rig, browser, rig.tokens["admin"]) as page:
        for words in HOSTILE:
            _look_at(page, f"{MAIL}?q={quote(words, safe='')}")
        for number in range(MAILS):
            _look_at(page, f"{MAIL}?q=mallory{number}@example.com")
            page.locator("summary", has_text="In the words of who said so").click()
            assert find_overflow(page) == []
        expect(page.get_by_role("region", name="mallory3@example.com")).to_contain_text("<embed src=//evil.example>")


def test_somebody_who_is_called_so(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """A name, browsers, notes in a timeline; and signed out: what was typed, links and unknown addresses."""
    with _open_watched(rig, browser, rig.tokens["mallory"]) as page:
        _look_at(page, "/console/me")
        expect(page.get_by_role("row")).to_have_count(1 + 1 + MANY_BROWSERS)
        _look_at(page, f"/console/{quote(HOSTILE[0], safe='')}")
        for number, words in enumerate(list_shares()):
            here = f"{MAIL}/{rig.examples[f'mail_to_comment_{number}']}"
            posted = page.request.post(f"{here}/cancel", form={"comment": " ".join(words)}, headers=SAME_ORIGIN)
            assert posted.ok
            _look_at(page, here)
            expect(page.locator(".timeline")).to_contain_text("stopped by <script>")
            expect(page.locator(".timeline")).to_contain_text(words[1])
    with _open_watched(rig, browser, None) as page:
        for words in list_shares():
            text = " ".join(words)
            _look_at(page, f"/console/sign-in?next={quote(text, safe='')}")
            page.get_by_label("E-mail address").fill(text)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("alert")).to_be_visible()
            assert (find_hidden_characters(page), find_policy_violations(page)) == ([], [])
            link = next(each for each in words if "/" not in each)
            _look_at(page, f"/console/welcome/{quote(link, safe='')}")
