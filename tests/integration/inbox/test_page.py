"""The page in a real Chromium: mail appears by itself, is read, searched and deleted."""

import smtplib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from notifier.inbox.inbox_server import BackgroundInbox

if TYPE_CHECKING:
    from integration.inbox.conftest import InboxPage

Send = Callable[..., None]


@pytest.fixture
def inbox(page: "InboxPage") -> BackgroundInbox:
    """The inbox of the page."""
    return page.inbox


def test_an_empty_inbox_says_where_to_send(page: "InboxPage", inbox: BackgroundInbox) -> None:
    """An empty inbox shows host and port, ready to copy."""
    page.until_texts(".address code", f"{inbox.smtp_host}:{inbox.smtp_port}")
    page.until_texts(".blank h1", "No mail yet")


def test_mail_appears_without_a_reload(page: "InboxPage", send: Send) -> None:
    """Newest first, unread, with recipient, sender and age; the title counts the unread."""
    send("First")
    page.until_subjects("First")
    send("Second ✓", to="bob@customer.example")
    page.until_subjects("Second ✓", "First")

    assert page.texts(".row-to") == ["bob@customer.example", "ann@customer.example"]
    page.until_texts(".row-from", "from The Shop", "from The Shop")
    assert page.texts(".row-time") == ["now", "now"]
    expect(page.find(".row.unread")).to_have_count(2)
    expect(page.page).to_have_title("(2) Inbox")
    assert page.errors == []


def test_a_message_is_read_in_its_views(page: "InboxPage", send: Send) -> None:
    """A message is shown as HTML, text, headers and raw, and is no longer unread when open."""
    send("Views", text="The text.", html="<p id=rich>The HTML.</p>")
    page.find(".row").click()
    page.until_reading("Views")

    frame = page.find("iframe.paper")
    expect(frame).to_have_css("width", "640px")
    page.find(".width[data-width='375']").click()
    expect(frame).to_have_css("width", "375px")
    expect(frame.content_frame.locator("#rich")).to_have_text("The HTML.")

    page.find("#tab-text").click()
    page.until_texts("pre.text", "The text.")
    page.find("#tab-raw").click()
    expect(page.find("pre.source")).to_contain_text("Content-Type: multipart/alternative")
    page.find("#tab-headers").click()
    expect(page.find(".fields").first).to_be_visible()
    assert ["RCPT TO", "ann@customer.example"] in [line.split("\t") for line in page.texts(".fields")[0].splitlines()]
    expect(page.find(".row.unread")).to_have_count(0)
    assert page.errors == []


def test_tabs_follow_the_arrow_keys_and_pass_over_what_is_not_there(page: "InboxPage", send: Send) -> None:
    """Arrow keys skip a missing tab, such as HTML in a text mail, and the focus stays on the visible tab."""
    send("Only text")
    page.find(".row").click()
    page.until_reading("Only text")
    page.until_texts("[role=tab][aria-selected=true]", "Text")

    page.find("#tab-text").press("ArrowRight")
    expect(page.find("#tab-headers")).to_be_focused()
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    page.until_texts("[role=tab][aria-selected=true]", "Raw")
    for name in ("html", "markup", "check"):
        expect(page.find(f"#tab-{name}")).to_be_disabled()


def test_keys_go_through_the_list(page: "InboxPage", send: Send) -> None:
    """The keys j and k move in the list, / searches, and Escape leaves."""
    for subject in ("one", "two", "three"):
        send(subject)
    page.until_subjects("three", "two", "one")

    for key, subject in (("j", "three"), ("j", "two"), ("j", "one"), ("j", "one"), ("k", "two")):
        page.press(key)
        page.until_reading(subject)
    page.until_texts(".row[aria-current=true] .row-subject", "two")

    page.press("/")
    expect(page.find("#query")).to_be_focused()
    page.press("j")
    expect(page.find("#query")).to_have_value("j")
    assert page.texts("h1.subject") == ["two"]
    expect(page.find(".row")).to_have_count(0)
    page.press("Escape")
    expect(page.find("#query")).not_to_be_focused()
    expect(page.find("#query")).to_have_value("")
    page.until_subjects("three", "two", "one")
    page.press("Escape")
    expect(page.find(".reader")).to_be_hidden()
    expect(page.find(".row").nth(1)).to_be_focused()


def test_search_narrows_the_list_while_one_types(page: "InboxPage", send: Send) -> None:
    """Typing in the search field hides what does not match; clearing the field shows it again."""
    send("Invoice")
    send("Welcome")
    page.until_subjects("Welcome", "Invoice")

    page.find("#query").press_sequentially("invoi")
    page.until_subjects("Invoice")
    page.until_texts("#count", "1 of 2 messages")
    page.find("#query").press_sequentially("xyz")
    page.until_subjects()
    page.until_texts("#count", "No match in 2 messages")
    page.find("#query").fill("")
    page.until_subjects("Welcome", "Invoice")


def test_the_list_is_dense_and_can_be_marked_as_read(page: "InboxPage", inbox: BackgroundInbox) -> None:
    """A window of 800 pixels shows 20 rows; unread ones are bold until all are marked as read."""
    with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example", timeout=100) as client:
        for number in range(120):
            client.sendmail(
                "shop@shop.example", [f"ann{number}@customer.example", "bob@x.example"], b"Subject: s\r\n\r\nx"
            )
    expect(page.find(".row").first).to_contain_text("ann119@customer.example +1")
    page.until_texts("#count", "120 messages, 100 unread")
    expect(page.find(".row").nth(19)).to_be_in_viewport(ratio=1)
    expect(page.find(".row-address").first).to_have_css("font-weight", "650")

    page.find("#mark-all").click()
    page.until_texts("#count", "120 messages")
    expect(page.find("#mark-all")).to_be_hidden()
    expect(page.find(".row-address").first).to_have_css("font-weight", "400")
    page.find("#older").click()
    expect(page.find(".row")).to_have_count(120)
    expect(page.find(".row.unread")).to_have_count(0)


def test_deleting_one_opens_the_next(page: "InboxPage", inbox: BackgroundInbox, send: Send) -> None:
    """Deleting a message opens the next, and removes it from the store."""
    send("keep")
    send("drop")
    page.until_subjects("drop", "keep")
    page.press("j")
    page.until_reading("drop")

    page.find("#delete").click()

    page.until_reading("keep")
    page.until_subjects("keep")
    assert [message.subject for message in inbox.messages()] == ["keep"]


def test_deleting_all_asks_first(page: "InboxPage", inbox: BackgroundInbox, send: Send) -> None:
    """Deleting all asks for confirmation; "no" changes nothing, "yes" leads to the empty page."""
    send("one")
    send("two")
    page.until_subjects("two", "one")

    page.find("#delete-all").click()
    page.until_texts("#confirm-question", "Delete all 2 messages?")
    page.find("#confirm-no").click()
    assert len(inbox.messages()) == 2
    page.find("#delete-all").click()
    page.find("#confirm-yes").click()

    page.until_texts(".blank h1", "No mail yet")
    assert inbox.messages() == []


def test_a_deep_link_opens_its_message_and_survives_its_end(
    page: "InboxPage", inbox: BackgroundInbox, send: Send
) -> None:
    """The URL names the open message; the URL of a deleted message says that it is gone."""
    send("linked")
    message = inbox.wait_for(subject="linked")

    page.open(f"/#/{message.id}")
    page.until_reading("linked")
    inbox.clear()
    page.page.reload()
    page.until_texts(".blank h1", "This message is gone")


def test_links_in_a_text_mail_can_be_followed(page: "InboxPage", send: Send) -> None:
    """Only web addresses become links, without the full stop after them."""
    send("links", text="Confirm at https://x.example/c?t=1, or javascript:alert(1).")
    page.find(".row").click()
    page.until_reading("links")

    expect(page.find("pre.text a")).to_have_count(1)
    expect(page.find("pre.text a")).to_have_attribute("href", "https://x.example/c?t=1")
    expect(page.find("pre.text a")).to_have_attribute("rel", "noopener noreferrer")


def test_on_a_narrow_screen_there_is_one_pane_at_a_time(page: "InboxPage", send: Send) -> None:
    """A narrow screen shows the list or the message, and nothing is wider than the screen."""
    send("narrow", html="<p>x</p>")
    page.page.set_viewport_size({"width": 375, "height": 800})
    page.find(".row").click()
    page.until_reading("narrow")
    expect(page.find(".list-pane")).to_be_hidden()
    expect(page.find("iframe.paper")).to_have_css("width", "375px")
    assert page.page.evaluate("document.documentElement.scrollWidth") == 375
    page.find(".back").click()
    expect(page.find(".list-pane")).to_be_visible()
    expect(page.find(".reader")).to_be_hidden()


def test_the_page_comes_back_when_the_inbox_does(page: "InboxPage", unused_port: int) -> None:
    """The page reconnects to a restarted inbox and shows its mail."""
    with BackgroundInbox(http_port=unused_port) as first:
        page.url = first.http_url
        page.open()
    expect(page.find("#live")).to_have_attribute("data-state", "connecting")

    with BackgroundInbox(http_port=unused_port):
        expect(page.find("#live")).to_have_attribute("data-state", "live")
        page.page.goto("about:blank")
