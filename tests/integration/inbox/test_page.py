"""The page in a real Chromium: mail appears by itself, is read, searched and deleted, and never runs anything."""

import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from notifier.inbox.background import BackgroundInbox

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are not installed")
FLAGS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,800",
)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)

Send = Callable[..., None]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for all tests of this file."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """What a person does on the page. Waiting ends as soon as the browser shows what is waited for."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self.url = url
        self._wait = WebDriverWait(
            browser, 10, poll_frequency=0.02, ignored_exceptions=[StaleElementReferenceException]
        )

    def open(self, path: str = "/") -> None:
        """Load the page, and wait until it listens."""
        self.browser.get(self.url + path)
        self.until(lambda: self.one("#live").get_attribute("data-state") == "live")

    def all(self, selector: str) -> list[WebElement]:
        """The elements that match now."""
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The element, as soon as there is one."""
        return self._wait.until(lambda _: next(iter(self.all(selector)), None))  # type: ignore[return-value]

    def texts(self, selector: str) -> list[str]:
        """What the matching elements say."""
        return [element.text for element in self.all(selector)]

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        self._wait.until(lambda _: condition())

    def until_subjects(self, *subjects: str) -> None:
        """Wait until the list shows exactly these, in this order."""
        self.until(lambda: self.texts(".row-subject") == list(subjects))

    def until_reading(self, subject: str) -> None:
        """Wait until that message is open."""
        self.until(lambda: self.texts("h1.subject") == [subject])

    def press(self, key: str) -> None:
        """Press a key, wherever the focus is."""
        webdriver.ActionChains(self.browser).send_keys(key).perform()


@pytest.fixture
def page(chromium: webdriver.Chrome, inbox: BackgroundInbox) -> Iterator[Page]:
    """The page of an inbox of its own, wide and open."""
    chromium.set_window_size(1280, 800)
    opened = Page(chromium, inbox.http_url)
    opened.open()
    yield opened
    # Leaving closes the page's event stream, so that the inbox need not.
    chromium.get("about:blank")


def errors(chromium: webdriver.Chrome) -> list[str]:
    """What the console complains about since the last look."""
    entries = chromium.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


def test_an_empty_inbox_says_where_to_send(page: Page, inbox: BackgroundInbox) -> None:
    """Host and port, ready to copy."""
    assert page.one(".address code").text == f"{inbox.smtp_host}:{inbox.smtp_port}"
    assert page.one(".blank h1").text == "No mail yet"


def test_mail_appears_without_a_reload(page: Page, send: Send) -> None:
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


def test_a_message_is_read_in_four_views(page: Page, send: Send) -> None:
    """HTML in the frame, text, source and headers; the open message is no longer unread."""
    send("Views", text="The text.", html="<p id=rich>The HTML.</p>")
    page.one(".row").click()
    page.until_reading("Views")

    frame = page.one("iframe.paper")
    assert frame.size["width"] == 640
    page.one(".width[data-width='375']").click()
    page.until(lambda: frame.size["width"] == 375)
    page.browser.switch_to.frame(frame)
    assert page.one("#rich").text == "The HTML."
    page.browser.switch_to.default_content()

    page.one("#tab-text").click()
    assert page.one("pre.text").text == "The text."
    page.one("#tab-source").click()
    page.until(lambda: "Content-Type: multipart/alternative" in page.one("pre.source").text)
    page.one("#tab-headers").click()
    assert "RCPT TO ann@customer.example" in page.one(".fields").text
    assert page.all(".row.unread") == []
    assert errors(page.browser) == []


def test_tabs_follow_the_arrow_keys_and_pass_over_what_is_not_there(page: Page, send: Send) -> None:
    """A text mail has no HTML; the focus stays on the tab that is shown."""
    send("Only text")
    page.one(".row").click()
    page.until_reading("Only text")
    assert page.one("[role=tab][aria-selected=true]").text == "Text"

    page.one("#tab-text").send_keys(Keys.ARROW_RIGHT)
    assert page.browser.switch_to.active_element.get_attribute("id") == "tab-source"
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.one("[role=tab][aria-selected=true]").text == "Headers"
    assert not page.one("#tab-html").is_enabled()


def test_nothing_in_a_mail_runs(page: Page, send: Send) -> None:
    """Scripts, event handlers and frames in the HTML are dead, and markup in text, names and subjects is text."""
    send(
        "<img src=x onerror=\"document.title='subject'\">",
        sender='"<b>bold</b>"@shop.example',
        text="<script>document.title='text'</script>",
        html=(
            "<p id=marker>Shown.</p><script>document.body.dataset.ran='script'</script>"
            "<img src=x onerror=\"document.body.dataset.ran='handler'\"><svg onload=\"top.document.title='svg'\"></svg>"
            "<iframe srcdoc=\"<script>top.document.title='frame'</script>\"></iframe>"
            "<meta http-equiv=refresh content='0;url=about:blank'>"
        ),
    )
    page.one(".row").click()
    page.until_reading("<img src=x onerror=\"document.title='subject'\">")

    page.browser.switch_to.frame(page.one("iframe.paper"))
    assert page.one("#marker").text == "Shown."
    assert page.one("body").get_attribute("data-ran") is None
    page.browser.switch_to.default_content()
    page.one("#tab-text").click()
    assert page.one("pre.text").text == "<script>document.title='text'</script>"
    assert page.browser.title == "Inbox"


def test_inline_images_are_shown_and_remote_ones_only_on_request(page: Page, send: Send) -> None:
    """A tracking pixel is not fetched before the reader says so."""
    with Tracker() as tracker:
        send(
            "Images", html=f'<img id=logo src="cid:logo"><img src="http://127.0.0.1:{tracker.port}/pixel">', image=PIXEL
        )
        page.one(".row").click()
        page.until_reading("Images")
        frame = page.one("iframe.paper")
        page.browser.switch_to.frame(frame)
        assert page.one("#logo").get_property("naturalWidth") == 1
        page.browser.switch_to.default_content()
        assert tracker.hits == []

        page.one(".notice button").click()

        assert tracker.hit.wait(10)
        assert tracker.hits == ["/pixel"]
        assert page.all(".notice") == []


class Tracker:
    """A web server that notes what is fetched from it."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.hit = threading.Event()
        tracker = self

        class Note(BaseHTTPRequestHandler):
            """Notes the path."""

            def do_GET(self) -> None:
                tracker.hits.append(self.path)
                tracker.hit.set()
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Note)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_keys_go_through_the_list(page: Page, send: Send) -> None:
    """The keys j and k move, / searches, Escape leaves."""
    for subject in ("one", "two", "three"):
        send(subject)
    page.until_subjects("three", "two", "one")

    for key, subject in (("j", "three"), ("j", "two"), ("j", "one"), ("j", "one"), ("k", "two")):
        page.press(key)
        page.until_reading(subject)
    assert page.one(".row[aria-current=true] .row-subject").text == "two"

    page.press("/")
    assert page.browser.switch_to.active_element.get_attribute("id") == "query"
    page.press("j")
    assert page.one("#query").get_attribute("value") == "j"
    assert page.texts("h1.subject") == ["two"]
    page.press(Keys.ESCAPE)
    page.until(lambda: page.browser.switch_to.active_element.get_attribute("id") != "query")
    page.press(Keys.ESCAPE)
    page.until(lambda: page.texts(".blank h1") == ["Choose a message"])


def test_search_narrows_the_list_while_one_types(page: Page, send: Send) -> None:
    """What does not match goes, and comes back when the field is empty."""
    send("Invoice")
    send("Welcome")
    page.until_subjects("Welcome", "Invoice")

    page.one("#query").send_keys("invoi")
    page.until_subjects("Invoice")
    assert page.one("#count").text == "1 of 2 messages"
    page.one("#query").send_keys("xyz")
    page.until_subjects()
    page.until(lambda: page.one("#count").text == "No match in 2 messages")
    page.one("#query").send_keys(Keys.BACKSPACE * 8)
    page.until_subjects("Welcome", "Invoice")


def test_deleting_one_opens_the_next(page: Page, inbox: BackgroundInbox, send: Send) -> None:
    """It is gone from the store as well."""
    send("keep")
    send("drop")
    page.until_subjects("drop", "keep")
    page.press("j")
    page.until_reading("drop")

    page.one("#delete").click()

    page.until_reading("keep")
    page.until_subjects("keep")
    assert [message.subject for message in inbox.messages()] == ["keep"]


def test_deleting_all_asks_first(page: Page, inbox: BackgroundInbox, send: Send) -> None:
    """No means no; yes leads back to the empty page."""
    send("one")
    send("two")
    page.until_subjects("two", "one")

    page.one("#delete-all").click()
    assert page.one("#confirm-question").text == "Delete all 2 messages?"
    page.one("#confirm-no").click()
    assert len(inbox.messages()) == 2
    page.one("#delete-all").click()
    page.one("#confirm-yes").click()

    page.until(lambda: page.texts(".blank h1") == ["No mail yet"])
    assert inbox.messages() == []


def test_a_deep_link_opens_its_message_and_survives_its_end(page: Page, inbox: BackgroundInbox, send: Send) -> None:
    """The address names the message; a message that is gone is said to be gone."""
    send("linked")
    message = inbox.wait_for(subject="linked")

    page.open(f"/#/{message.id}")
    page.until_reading("linked")
    inbox.clear()
    page.browser.refresh()
    page.until(lambda: page.texts(".blank h1") == ["This message is gone"])


def test_links_in_a_text_mail_can_be_followed(page: Page, send: Send) -> None:
    """Only web addresses, without the full stop behind them."""
    send("links", text="Confirm at https://x.example/c?t=1, or javascript:alert(1).")
    page.one(".row").click()
    page.until_reading("links")

    (link,) = page.all("pre.text a")
    assert link.get_attribute("href") == "https://x.example/c?t=1"
    assert link.get_attribute("rel") == "noopener noreferrer"


def test_on_a_narrow_screen_there_is_one_pane_at_a_time(page: Page, send: Send) -> None:
    """List, then message, then back; nothing is wider than the screen."""
    send("narrow", html="<p>x</p>")
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        page.one(".row").click()
        page.until_reading("narrow")
        assert not page.one(".list-pane").is_displayed()
        assert page.one("iframe.paper").size["width"] == 375
        assert page.browser.execute_script("return document.documentElement.scrollWidth") == 375
        page.one(".back").click()
        page.until(lambda: page.one(".list-pane").is_displayed())
        assert not page.one(".reader").is_displayed()
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_comes_back_when_the_inbox_does(page: Page, unused_port: int) -> None:
    """A restarted inbox is found again, and its mail shown."""
    with BackgroundInbox(http_port=unused_port) as first:
        page.url = first.http_url
        page.open()
    page.until(lambda: page.one("#live").get_attribute("data-state") == "connecting")

    with BackgroundInbox(http_port=unused_port):
        page.until(lambda: page.one("#live").get_attribute("data-state") == "live")
        page.browser.get("about:blank")
