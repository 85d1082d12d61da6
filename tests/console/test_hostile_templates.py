"""Hostile words in names, subjects, bodies, values, notes and files of templates: pages show them as words."""

from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Page, expect
from support.console_browser import PHONE, ConsoleBrowser, find_hidden_characters, find_overflow, find_violations
from support.console_rig import ConsoleRig
from support.hostile_templates import ALL_WORDS, SLUG, create_hostile_templates
from support.hostile_words import HOSTILE
from support.seeded_installation import SqliteSeed

TEMPLATE = f"/console/templates/{SLUG}"
SHOWN = (
    "/console/templates",
    *(f"{TEMPLATE}{rest}" for rest in ("", "?view=text", "?view=source", "/edit", "/publish", "/versions/1")),
    f"{TEMPLATE}/publish?version=1",
)
FRAMES = (f"{TEMPLATE}/versions/1/preview", f"{TEMPLATE}/draft/preview", f"{TEMPLATE}/versions/1/preview?view=text")


@pytest.fixture(scope="module")
def slugs(rig: ConsoleRig, sqlite_seed: SqliteSeed) -> list[str]:
    """Templates with hostile words, one for each and one for all."""
    with (
        httpx2.Client(base_url=rig.url, headers={"Authorization": f"Bearer {rig.admin_key}"}, timeout=60) as api,
        httpx2.Client(base_url=rig.url, headers={"Authorization": f"Bearer {sqlite_seed.keys.shop}"}) as caller,
    ):
        return create_hostile_templates(api, caller)


@pytest.fixture
def page(rig: ConsoleRig, browser: ConsoleBrowser, slugs: list[str]) -> Iterator[Page]:
    """An admin's page on a phone. Nothing may open a dialog or ask another host for anything."""
    assert len(slugs) == len(HOSTILE) == 40
    foreign: list[str] = []
    with browser.open_page(token=rig.tokens["admin"], width=PHONE) as opened:
        opened.on("request", lambda request: foreign.append(request.url))
        yield opened
    assert [url for url in foreign if not url.startswith((rig.url, "data:", "about:"))] == []
    assert [fault for fault in browser.take_faults() if fault.startswith("dialog")] == []


def expect_harmless(page: Page) -> None:
    """Expect that nothing ran, nothing was refused by the policy, and nothing is wider than the window."""
    assert find_violations(page) == []
    assert find_overflow(page) == []
    assert page.locator("main").count() == 1  # no word has changed the structure of the page


def test_hostile_words_are_shown_as_words(page: Page, slugs: list[str]) -> None:
    """Every page that shows them is as it is with harmless ones; their editors mark what is wrong, and run nothing."""
    for path in (*SHOWN, *(f"/console/templates/{slug}" for slug in slugs)):
        page.goto(path)
        expect_harmless(page)
        assert path.endswith("/edit") or find_hidden_characters(page) == []  # its fields keep what was typed
    for slug in slugs[:4]:
        page.goto(f"/console/templates/{slug}/edit")
        page.wait_for_selector("html[data-ready=yes]")
        expect(page.locator(".remarks")).to_be_visible()
        expect_harmless(page)


def test_hostile_mail_leaves_no_frame(page: Page) -> None:
    """Opened by itself, the document of a frame shows the words, runs nothing and loads nothing."""
    for path in FRAMES:
        reply = page.goto(path)
        assert reply is not None
        assert reply.status == 200
        assert "sandbox" in reply.headers["content-security-policy"]
        expect(page.locator("body")).to_contain_text("DROP TABLE notification")


def test_hostile_words_in_forms_come_back_as_words(page: Page) -> None:
    """Names, files, notes and texts that are refused stand in their fields again, and are no part of the page."""
    page.goto("/console/new-template")
    page.get_by_label("Name", exact=True).fill(HOSTILE[2])
    page.get_by_label("Short name").fill(ALL_WORDS[:64])
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("heading", name="There is a problem")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value(HOSTILE[2])
    expect_harmless(page)

    page.goto("/console/layouts")
    page.get_by_text("New layout").click()
    page.get_by_label("Name", exact=True).fill(ALL_WORDS[:68])
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value(ALL_WORDS[:68])
    expect_harmless(page)

    page.goto("/console/images")
    page.get_by_label("Name", exact=True).fill(HOSTILE[3])
    page.get_by_label("File", exact=True).set_input_files({"name": HOSTILE[1], "mimeType": "image/png", "buffer": b"x"})
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="There is a problem")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value(HOSTILE[3])
    expect_harmless(page)


def test_hostile_texts_of_two_people_stand_side_by_side(page: Page, rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Both sides of a layout and of a draft are shown as text, and what is kept is what was written."""
    page.goto("/console/layouts")
    page.get_by_text("New layout").click()
    page.get_by_label("Name", exact=True).fill("strange.html")
    page.get_by_role("button", name="Make it").click()
    for path, save in (("/console/layouts/strange.html", "Save"), (f"{TEMPLATE}/edit", "Save draft")):
        with browser.open_page(token=rig.tokens["editor"], with_scripts=False) as other:
            other.goto(path)
            page.goto(path)
            page.wait_for_selector("html[data-ready=yes]")
            other.locator("textarea[data-file]").first.fill("\n".join(HOSTILE))
            with other.expect_navigation():
                other.get_by_role("button", name=save, exact=True).click()
        page.locator(".cm-content").first.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(ALL_WORDS)
        with page.expect_navigation():
            page.get_by_role("button", name=save, exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Not saved yet: Editor has saved")
        expect_harmless(page)
        with page.expect_navigation():
            page.get_by_role("button", name="Keep mine" if "layouts" in path else "Save what I chose").click()
        page.goto(path)
        expect(page.locator("textarea[data-file]").first).to_have_value(ALL_WORDS)
