"""The page in a real Chromium: mail appears by itself, is read, searched and deleted."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from notifier.inbox.inbox_server import BackgroundInbox

if TYPE_CHECKING:
    from integration.inbox.conftest import Page

Send = Callable[..., None]


def errors(chromium: webdriver.Chrome) -> list[str]:
    """The console's errors since the last call."""
    entries = chromium.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


def test_an_empty_inbox_says_where_to_send(page: "Page", inbox: BackgroundInbox) -> None:
    """An empty inbox shows host and port, ready to copy."""
    assert page.find(".address code").text == f"{inbox.smtp_host}:{inbox.smtp_port}"
    assert page.find(".blank h1").text == "No mail yet"


def test_mail_appears_without_a_reload(page: "Page", send: Send) -> None:
    """Newest first, unread, with sender, recipient and age; the title counts the unread."""
    send("First")
    page.until_subjects("First")
    send("Second ✓", to="bob@customer.example")
    page.until_subjects("Second ✓", "First")

    assert page.texts(".row-from") == ["The Shop", "The Shop"]
    assert page.texts(".row-time") == ["now", "now"]
    assert page.texts(".row-to")[0] == "to bob@customer.example"
    assert len(page.all(".row.unread")) == 2
    assert page.browser.title == "(2) Inbox"
    assert errors(page.browser) == []


def test_a_message_is_read_in_four_views(page: "Page", send: Send) -> None:
    """A message is shown as HTML, text, source and headers, and is no longer unread when open."""
    send("Views", text="The text.", html="<p id=rich>The HTML.</p>")
    page.find(".row").click()
    page.until_reading("Views")

    frame = page.find("iframe.paper")
    assert frame.size["width"] == 640
    page.find(".width[data-width='375']").click()
    page.until(lambda: frame.size["width"] == 375)
    page.browser.switch_to.frame(frame)
    assert page.find("#rich").text == "The HTML."
    page.browser.switch_to.default_content()

    page.find("#tab-text").click()
    assert page.find("pre.text").text == "The text."
    page.find("#tab-source").click()
    page.until(lambda: "Content-Type: multipart/alternative" in page.find("pre.source").text)
    page.find("#tab-headers").click()
    assert "RCPT TO ann@customer.example" in page.find(".fields").text
    assert page.all(".row.unread") == []
    assert errors(page.browser) == []


def test_tabs_follow_the_arrow_keys_and_pass_over_what_is_not_there(page: "Page", send: Send) -> None:
    """Arrow keys skip a missing tab, such as HTML in a text mail, and the focus stays on the visible tab."""
    send("Only text")
    page.find(".row").click()
    page.until_reading("Only text")
    assert page.find("[role=tab][aria-selected=true]").text == "Text"

    page.find("#tab-text").send_keys(Keys.ARROW_RIGHT)
    assert page.browser.switch_to.active_element.get_attribute("id") == "tab-source"
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.find("[role=tab][aria-selected=true]").text == "Headers"
    assert not page.find("#tab-html").is_enabled()


def test_keys_go_through_the_list(page: "Page", send: Send) -> None:
    """The keys j and k move in the list, / searches, and Escape leaves."""
    for subject in ("one", "two", "three"):
        send(subject)
    page.until_subjects("three", "two", "one")

    for key, subject in (("j", "three"), ("j", "two"), ("j", "one"), ("j", "one"), ("k", "two")):
        page.press(key)
        page.until_reading(subject)
    assert page.find(".row[aria-current=true] .row-subject").text == "two"

    page.press("/")
    assert page.browser.switch_to.active_element.get_attribute("id") == "query"
    page.press("j")
    assert page.find("#query").get_attribute("value") == "j"
    assert page.texts("h1.subject") == ["two"]
    page.press(Keys.ESCAPE)
    page.until(lambda: page.browser.switch_to.active_element.get_attribute("id") != "query")
    page.press(Keys.ESCAPE)
    page.until(lambda: page.texts(".blank h1") == ["Choose a message"])


def test_search_narrows_the_list_while_one_types(page: "Page", send: Send) -> None:
    """Typing in the search field hides what does not match; clearing the field shows it again."""
    send("Invoice")
    send("Welcome")
    page.until_subjects("Welcome", "Invoice")

    page.find("#query").send_keys("invoi")
    page.until_subjects("Invoice")
    assert page.find("#count").text == "1 of 2 messages"
    page.find("#query").send_keys("xyz")
    page.until_subjects()
    page.until(lambda: page.find("#count").text == "No match in 2 messages")
    page.find("#query").send_keys(Keys.BACKSPACE * 8)
    page.until_subjects("Welcome", "Invoice")


def test_deleting_one_opens_the_next(page: "Page", inbox: BackgroundInbox, send: Send) -> None:
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


def test_deleting_all_asks_first(page: "Page", inbox: BackgroundInbox, send: Send) -> None:
    """Deleting all asks for confirmation; "no" changes nothing, "yes" leads to the empty page."""
    send("one")
    send("two")
    page.until_subjects("two", "one")

    page.find("#delete-all").click()
    assert page.find("#confirm-question").text == "Delete all 2 messages?"
    page.find("#confirm-no").click()
    assert len(inbox.messages()) == 2
    page.find("#delete-all").click()
    page.find("#confirm-yes").click()

    page.until(lambda: page.texts(".blank h1") == ["No mail yet"])
    assert inbox.messages() == []


def test_a_deep_link_opens_its_message_and_survives_its_end(page: "Page", inbox: BackgroundInbox, send: Send) -> None:
    """The URL names the open message; the URL of a deleted message says that it is gone."""
    send("linked")
    message = inbox.wait_for(subject="linked")

    page.open(f"/#/{message.id}")
    page.until_reading("linked")
    inbox.clear()
    page.browser.refresh()
    page.until(lambda: page.texts(".blank h1") == ["This message is gone"])


def test_links_in_a_text_mail_can_be_followed(page: "Page", send: Send) -> None:
    """Only web addresses become links, without the full stop after them."""
    send("links", text="Confirm at https://x.example/c?t=1, or javascript:alert(1).")
    page.find(".row").click()
    page.until_reading("links")

    (link,) = page.all("pre.text a")
    assert link.get_attribute("href") == "https://x.example/c?t=1"
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_on_a_narrow_screen_there_is_one_pane_at_a_time(page: "Page", send: Send) -> None:
    """A narrow screen shows the list or the message, and nothing is wider than the screen."""
    send("narrow", html="<p>x</p>")
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        page.find(".row").click()
        page.until_reading("narrow")
        assert not page.find(".list-pane").is_displayed()
        assert page.find("iframe.paper").size["width"] == 375
        assert page.browser.execute_script("return document.documentElement.scrollWidth") == 375
        page.find(".back").click()
        page.until(lambda: page.find(".list-pane").is_displayed())
        assert not page.find(".reader").is_displayed()
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_comes_back_when_the_inbox_does(page: "Page", unused_port: int) -> None:
    """The page reconnects to a restarted inbox and shows its mail."""
    with BackgroundInbox(http_port=unused_port) as first:
        page.url = first.http_url
        page.open()
    page.until(lambda: page.find("#live").get_attribute("data-state") == "connecting")

    with BackgroundInbox(http_port=unused_port):
        page.until(lambda: page.find("#live").get_attribute("data-state") == "live")
        page.browser.get("about:blank")
