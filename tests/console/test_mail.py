"""Mail in the console: a refused address is explained, lifted and mailed again; an unknown mail is decided."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect
from support.console_browser import DESKTOP, PHONE, ConsoleBrowser, find_overflow, press_tab_until
from support.console_rig import ConsoleRig
from support.mail_examples import ALSO_REFUSED, REFUSED_ADDRESS

MAIL = "/console/mail"
MAX_RELOADS = 1_000


def _press(page: Page, wanted: Locator) -> None:
    press_tab_until(page, wanted)
    page.keyboard.press("Enter")


def _assert_sent(rig: ConsoleRig, page: Page, address: str, *, with_scripts: bool = True) -> None:
    """The mail arrives. With scripts the page says so by itself, without them after a reload."""
    assert rig.inbox.wait_for(to=address).subject
    heading = page.get_by_role("heading", level=1)
    for _ in range(0 if with_scripts else MAX_RELOADS):
        page.reload()
        if "Probably" in heading.inner_text():
            break
    expect(heading).to_contain_text("Probably. The mail server accepted it")


def _search(page: Page, text: str) -> None:
    page.goto("/console/")
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("button", name="Find").click()


@pytest.mark.parametrize(
    ("address", "width", "with_scripts"),
    [(REFUSED_ADDRESS, DESKTOP, True), (ALSO_REFUSED[0], PHONE, False)],
    ids=["scripts", "no scripts on a phone"],
)
def test_a_refused_address_is_lifted_and_mailed_again(
    rig: ConsoleRig, browser: ConsoleBrowser, address: str, width: int, *, with_scripts: bool
) -> None:
    """Support finds Bob's mail by his address, reads why it failed, lifts the suppression, and sends it again."""
    with browser.open_page(token=rig.tokens["support"], with_scripts=with_scripts, width=width) as page:
        _search(page, address)
        card = page.get_by_role("region", name=address)
        expect(card).to_contain_text("Must not be mailed.")
        page.get_by_role("table").get_by_role("link", name="Welcome").click()
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_contain_text(f"No. The mail server says that {address} does not exist.")
        assert find_overflow(page) == []
        expect(page.get_by_text("This address does not exist.")).to_be_visible()
        expect(page.get_by_role("button", name="Send it again")).to_have_count(0)
        page.get_by_text("In the server's words").click()
        expect(page.get_by_text("User unknown")).to_be_visible()
        page.get_by_text("Words for the customer").click()
        expect(page.locator("#customer-words")).to_contain_text(f"that {address} does not exist. Please check")
        page.get_by_role("button", name="Lift").click()
        expect(page.get_by_role("status").first).to_contain_text("Lifted.")
        page.get_by_role("button", name="Send it again").click()
        expect(page.locator(".timeline")).to_contain_text("sent again by Support")
        _assert_sent(rig, page, address, with_scripts=with_scripts)
    assert browser.take_faults() == []


def test_the_same_by_the_keyboard_alone(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """The slash goes to the box; the rest are Tab and Enter, on a phone."""
    address = ALSO_REFUSED[1]
    with browser.open_page(token=rig.tokens["support"], width=PHONE) as page:
        page.goto("/console/")
        page.keyboard.press("/")
        page.keyboard.type(address)
        page.keyboard.press("Enter")
        _press(page, page.get_by_role("table").get_by_role("link", name="Welcome"))
        expect(page.get_by_role("heading", level=1)).to_contain_text("does not exist.")
        _press(page, page.get_by_role("button", name="Lift"))
        expect(page.get_by_role("status").first).to_contain_text("Lifted.")
        _press(page, page.get_by_role("button", name="Send it again"))
        expect(page.locator(".timeline")).to_contain_text("sent again by Support")
        _assert_sent(rig, page, address)
    assert browser.take_faults() == []


@pytest.mark.parametrize(
    ("with_scripts", "example"),
    [(True, "mail_to_stop"), (False, "mail_to_stop_too")],
    ids=["scripts", "no scripts"],
)
def test_a_time_is_changed_and_a_mail_is_stopped(
    rig: ConsoleRig, browser: ConsoleBrowser, example: str, *, with_scripts: bool
) -> None:
    """A wrong time is refused in words and a right one taken; ticked in the list, the mail is stopped."""
    id_ = rig.examples[example]
    day = datetime.now(UTC) + timedelta(days=20)
    with browser.open_page(token=rig.tokens["support"], with_scripts=with_scripts, width=PHONE) as page:
        page.goto(f"{MAIL}/{id_}")
        heading = page.get_by_role("heading", level=1)
        page.locator("summary", has_text="Change the time").click()
        page.get_by_label("Send it at").fill("2020-01-01T10:00")
        page.get_by_role("button", name="Change the time").click()
        expect(page.get_by_role("alert")).to_contain_text("There is a problem")
        page.get_by_label("Send it at").fill(f"{day:%Y-%m-%d}T10:00")  # what was typed is still there, to be changed
        page.get_by_role("button", name="Change the time").click()
        expect(heading).to_contain_text(f"Not yet. It will be sent on {day:%a} {day.day}")
        page.goto(f"{MAIL}?q=status:scheduled")
        page.locator(f"input[value='{id_}']").check()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status").first).to_contain_text("1 mail is stopped.")
        page.goto(f"{MAIL}/{id_}")
        expect(heading).to_contain_text("No. It was stopped")


def test_an_unknown_mail_is_decided_without_scripts(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Deciding needs a comment; what was chosen is kept; then the timeline has it."""
    with browser.open_page(token=rig.tokens["support"], with_scripts=False) as page:
        page.goto(f"{MAIL}/{rig.examples['unknown_mail']}")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Nobody can know.")
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_role("alert")).to_contain_text("Choose what happened to the mail.")
        page.get_by_label("It arrived").check()
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_role("alert")).to_contain_text("Enter how you know.")
        expect(page.get_by_label("It arrived")).to_be_checked()
        page.get_by_label("How do you know?").fill("Bob has read it to me.")
        page.get_by_role("button", name="Decide").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("A person decided")
        expect(page.locator(".timeline")).to_contain_text("Bob has read it to me.")


def test_an_unknown_mail_is_decided_by_the_keyboard_alone(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Found on the first page, and decided, on a phone: it is sent once more, and arrives."""
    with browser.open_page(token=rig.tokens["support"], width=PHONE) as page:
        page.goto("/console/")
        _press(page, page.get_by_role("table").get_by_role("link", name="uma@example.com"))
        expect(page.get_by_role("heading", level=1)).to_contain_text("Nobody can know.")
        press_tab_until(page, page.get_by_label("It arrived"))
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(page.get_by_label("Send it again")).to_be_checked()
        page.keyboard.press("Tab")
        page.keyboard.type("Uma has looked everywhere.")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("It is sent once more.")
        expect(page.locator(".timeline")).to_contain_text("Uma has looked everywhere.")
        _assert_sent(rig, page, "uma@example.com")
    assert browser.take_faults() == []


def test_content_is_for_support_only(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """A person without the scope sees who, when and what became of it, but no content, and is told who may."""
    with browser.open_page(token=rig.tokens["editor"]) as page:
        page.goto(f"{MAIL}/{rig.examples['hostile_mail']}")
        expect(page.get_by_text("What it says is for the roles support and admin.")).to_be_visible()
        expect(page.locator("iframe")).to_have_count(0)
        assert page.goto(f"{MAIL}/{rig.examples['hostile_mail']}/frame").status == 403  # type: ignore[union-attr]


def test_a_word_nobody_knows_gets_a_proposal(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """A mistyped word and a mistyped address are answered with what is near."""
    with browser.open_page(token=rig.tokens["support"]) as page:
        _search(page, "state:failed")
        expect(page.get_by_text("did you mean status:?")).to_be_visible()
        _search(page, "bbo@example.com")
        expect(page.get_by_role("heading", name="No service has asked for a mail to")).to_be_visible()
        page.get_by_role("link", name="bob@example.com").click()
        expect(page.get_by_role("table")).to_be_visible()
