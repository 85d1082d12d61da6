"""What pages of mail do by themselves: they ask again, and leave alone what somebody reads, writes or ticks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect
from support.console_browser import DESKTOP, PHONE, ConsoleBrowser, find_barriers, find_overflow
from support.console_client import SAME_ORIGIN
from support.console_rig import ConsoleRig
from support.seeded_installation import WELCOME

MAIL = "/console/mail"
POLL, LIST_POLL = 5_000, 10_000  # milliseconds between the requests of a page


@pytest.fixture
def page(rig: ConsoleRig, browser: ConsoleBrowser) -> Iterator[Page]:
    """A page of support whose clock the test moves, and which may use the clipboard."""
    with browser.open_page(token=rig.tokens["support"]) as opened:
        opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
        opened.clock.install()
        yield opened
    browser.take_faults()


def _submit(rig: ConsoleRig, tag: str) -> None:
    """Submit a mail for later."""
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    mail = WELCOME | {"tags": [tag], "send_at": later}
    reply = httpx2.post(f"{rig.url}/v1/notifications", json=mail, headers={"Authorization": f"Bearer {rig.key}"})
    assert reply.status_code == 202, reply.text


def _watch_requests(page: Page, part: str) -> list[str]:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if part in request.url else None)
    return sent


def test_new_mail_is_told_without_moving_the_list(rig: ConsoleRig, page: Page) -> None:
    """A line says how many there are; the list changes when one asks for them, and not while a row is ticked."""
    _submit(rig, "told")
    page.goto(f"{MAIL}?q=tag:told")
    rows, news = page.locator("tbody tr"), page.locator(".new-mail")
    before = rows.first.bounding_box()
    _submit(rig, "told")
    _submit(rig, "another")
    page.clock.run_for(LIST_POLL)
    expect(news).to_have_text("1 new mail: show")
    assert rows.first.bounding_box() == before
    expect(rows).to_have_count(1)

    rows.first.get_by_role("checkbox").check()
    expect(page.locator("#chosen")).to_have_text("1 chosen:")
    _submit(rig, "told")
    asked = _watch_requests(page, "/mail/new")
    page.clock.run_for(3 * LIST_POLL)
    assert asked == []
    rows.first.get_by_role("checkbox").uncheck()
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")  # in another tab
    page.clock.run_for(3 * LIST_POLL)
    assert asked == []
    page.evaluate("delete document.hidden")
    page.clock.run_for(LIST_POLL)
    expect(news).to_have_text("2 new mails: show")
    news.get_by_role("link").click()
    expect(rows).to_have_count(3)
    expect(news).to_have_text("")


def test_a_waiting_mail_changes_around_what_is_read_and_written(rig: ConsoleRig, page: Page) -> None:
    """What is unfolded stays so; nothing changes while one writes; a fault of the server is got over."""
    here = f"{MAIL}/{rig.examples['mail_to_watch']}"
    page.goto(here)
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("Not yet.")
    page.get_by_text("Words for the customer").click()
    page.locator("summary", has_text="Change the time").click()
    page.get_by_label("Send it at").focus()
    assert page.request.post(f"{here}/cancel", form={"comment": ""}, headers=SAME_ORIGIN).ok
    asked = _watch_requests(page, "/state")
    page.clock.run_for(3 * POLL)
    assert asked == []
    page.get_by_label("Send it at").blur()

    def fail(route: Route) -> None:
        route.fulfill(status=503, content_type="text/html", body="<p>Busy</p>")

    page.route("**/state?*", fail, times=1)
    with page.expect_response("**/state?*"):
        page.clock.run_for(POLL)
    expect(heading).to_contain_text("Not yet.")
    page.clock.run_for(POLL)
    expect(heading).to_contain_text("No. It was stopped")
    expect(page.locator("#said")).to_contain_text("No. It was stopped")
    expect(page.locator("#customer-words")).to_contain_text("was stopped before it was sent.")
    expect(page.locator("#customer-words")).to_be_visible()
    asked.clear()
    page.clock.run_for(3 * POLL)
    assert asked == []


def test_a_page_of_somebody_signed_out_asks_no_more(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """It says so, with a link to sign in."""
    with browser.open_page(token=rig.tokens["publisher"]) as page:
        page.clock.install()
        page.goto(f"{MAIL}?q=tag:nobody")
        page.context.clear_cookies()
        page.clock.run_for(LIST_POLL)
        expect(page.locator(".new-mail")).to_contain_text("You are signed out.")
        asked = _watch_requests(page, "/mail/new")
        page.clock.run_for(3 * LIST_POLL)
        assert asked == []
        page.get_by_role("link", name="Sign in").click()
        page.wait_for_url("**/console/sign-in")
    browser.take_faults()


def test_words_for_the_customer_are_copied(rig: ConsoleRig, page: Page) -> None:
    """One click copies them as they stand."""
    page.goto(f"{MAIL}/{rig.examples['scheduled_mail']}")
    page.get_by_text("Words for the customer").click()
    words = page.locator("#customer-words").inner_text()
    assert words.startswith("The mail to ada@example.com will be sent on ")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == words
    expect(page.locator("#said")).to_have_text("Copied.")


def test_without_scripts_the_words_are_text(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """There is no button that does nothing."""
    with browser.open_page(token=rig.tokens["support"], with_scripts=False) as page:
        page.goto(f"{MAIL}/{rig.examples['scheduled_mail']}")
        page.get_by_text("Words for the customer").click()
        expect(page.locator("#customer-words")).to_be_visible()
        expect(page.get_by_text("Copy", exact=True)).to_be_hidden()


def test_a_search_is_narrowed_by_menus(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Without knowing a word of the box, and without scripts."""
    with browser.open_page(token=rig.tokens["support"], with_scripts=False) as page:
        page.goto(MAIL)
        menus = page.get_by_role("group", name="Narrow the search")
        menus.locator("summary", has_text="Did it arrive?").click()
        menus.get_by_role("link", name="could not be sent").click()
        expect(page.get_by_role("searchbox")).to_have_value("status:failed")
        menus.locator("summary", has_text="Template").click()
        menus.get_by_role("link", name="Welcome").click()
        menus.locator("summary", has_text="Asked for").click()
        menus.get_by_role("link", name="last 7 days").click()
        expect(page.get_by_role("table")).to_contain_text("@example.com")
        expect(menus.locator("summary")).to_have_text(["Service"])


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_what_is_unfolded_and_ticked_can_be_used_too(rig: ConsoleRig, browser: ConsoleBrowser, width: int) -> None:
    """Each menu, a bar for ticked rows, and all that is folded on a mail: no barriers, and no wider than the window."""
    with browser.open_page(token=rig.tokens["support"], width=width) as page:
        page.goto(MAIL)
        page.get_by_role("checkbox").first.check()
        for menu in page.get_by_role("group", name="Narrow the search").locator("summary").all():
            menu.click()
            assert (find_overflow(page), find_barriers(page)) == ([], [])
        for example in ("refused_mail", "scheduled_mail", "hostile_mail"):
            page.goto(f"{MAIL}/{rig.examples[example]}")
            for folded in page.locator("main summary").all():
                folded.click()
            assert (find_overflow(page), find_barriers(page)) == ([], [])
    assert browser.take_faults() == []
