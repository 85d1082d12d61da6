"""People sign in, look after their account, and sign out: with scripts, without them, and by keyboard alone."""

import pytest
from playwright.sync_api import Page, expect
from support.console_browser import PHONE, ConsoleBrowser, describe_faults, find_barriers
from support.console_rig import ConsoleRig
from support.staff_people import PASSWORD

NEW_PASSWORD = "copper meadow telegraph"


def _sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize(("name", "with_scripts"), [("Wendy", True), ("Wilma", False)])
def test_a_link_is_used_once(name: str, with_scripts: bool, rig: ConsoleRig, browser: ConsoleBrowser) -> None:  # noqa: FBT001
    """A link refuses an easy password, takes a good one, and has ended afterwards. Scripts take the browser's zone."""
    link = f"/console/welcome/{rig.links[name]}"
    with browser.open_page(with_scripts=with_scripts, width=PHONE) as page:
        page.goto(link)
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)
        page.get_by_label("Password").fill("aaaaaaaaaaaa")
        page.get_by_role("button", name="Save and sign in").click()
        expect(page.get_by_role("heading", name="There is a problem")).to_be_visible()
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Save and sign in").click()
        page.wait_for_url("**/console/")
        expect(page.locator("footer")).to_contain_text("Amsterdam (UTC+" if with_scripts else "Times are UTC")
        page.goto(link)
        expect(page.get_by_role("heading", level=1)).to_have_text("This link was used already, or is too old.")
    assert browser.take_faults() == []


def test_wrong_passwords_are_answered_alike(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """A wrong password and an unknown person get the same words; what was typed stays, but not the password."""
    words = set()
    with browser.open_page() as page:
        for email in ("support@staff.example", "stranger@staff.example"):
            page.goto("/console/sign-in?next=/console/me")
            _sign_in(page, email, "not the password")
            words.add(page.get_by_role("alert").inner_text())
            expect(page.get_by_label("E-mail address")).to_have_value(email)
            expect(page.get_by_label("Password")).to_have_value("")
        barriers = find_barriers(page)
        assert barriers == [], describe_faults(barriers)
        _sign_in(page, "support@staff.example", PASSWORD)
        page.wait_for_url("**/console/me")
    assert len(words) == 1


def test_a_page_that_needs_a_session_comes_after_it(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Who opens a page signed out signs in first, and gets the page then; other sites are never the next page."""
    with browser.open_page() as page:
        page.goto("/console/me?from=a-link")
        page.wait_for_url("**/console/sign-in?next=*")
        _sign_in(page, "editor@staff.example", PASSWORD)
        page.wait_for_url("**/console/me?from=a-link")
        page.goto("/console/sign-in?next=https://example.com/")
        page.wait_for_url(f"{rig.url}/console/")
    with browser.open_page() as page:
        page.goto("/console/sign-in?next=//example.com/")
        _sign_in(page, "editor@staff.example", PASSWORD)
        page.wait_for_url(f"{rig.url}/console/")


def test_a_revoked_session_is_gone_at_the_next_request(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """One browser signs the other out; the other's next page is the sign-in page."""
    with browser.open_page(token=rig.tokens["operator"]) as other, browser.open_page() as page:
        other.goto("/console/me")
        page.goto("/console/sign-in")
        _sign_in(page, "operator@staff.example", PASSWORD)
        page.goto("/console/me")
        page.get_by_role("row").filter(has_text="192.0.2.10").get_by_role("button").click()
        expect(page.get_by_role("status")).to_have_text("Signed out there.")
        other.goto("/console/me")
        other.wait_for_url("**/console/sign-in?next=*")
        page.locator("summary", has_text="Operator").click()
        page.get_by_role("button", name="Sign out").last.click()
        expect(page.get_by_role("status")).to_have_text("You are signed out.")
        page.goto("/console/")
        page.wait_for_url("**/console/sign-in")


def test_the_account_is_looked_after(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Zone, editor and password are changed; the message is shown once, and the new password is the one that counts."""
    with browser.open_page(token=rig.tokens["publisher"]) as page:
        page.goto("/console/me")
        page.get_by_role("button", name="Use Europe/Amsterdam").click()
        page.get_by_label("plain text box").check()
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_have_text("Saved.")
        expect(page.locator("footer")).to_contain_text("Amsterdam (UTC+")
        expect(page.get_by_label("plain text box")).to_be_checked()
        page.reload()
        expect(page.get_by_role("status")).to_have_count(0)
        page.get_by_label("Present password").fill("not the password")
        page.get_by_label("New password").fill(NEW_PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("alert")).to_contain_text("This is not your present password.")
        page.get_by_label("Present password").fill(PASSWORD)
        page.get_by_label("New password").fill(NEW_PASSWORD)
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("status")).to_contain_text("Your password was changed.")
    with browser.open_page() as page:
        page.goto("/console/sign-in")
        _sign_in(page, "publisher@staff.example", NEW_PASSWORD)
        page.wait_for_url("**/console/")


def test_the_keyboard_is_enough(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Signing in, the skip link, the search box by "/", and a menu that Escape closes, without a mouse."""
    with browser.open_page() as page:
        page.goto("/console/sign-in")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.type("support@staff.example")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/")
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).to_be_focused()
        for _ in range(4):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Layouts")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Layouts")).to_be_hidden()
