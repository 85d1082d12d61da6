"""Fixtures of the inbox's tests: a running inbox, a sender, its HTTP side, and a browser on its page."""

import os
import smtplib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait
from support import browser

from notifier.inbox.fixture import BackgroundInbox, inbox

__all__ = ["inbox"]

Send = Callable[..., None]
BUILT_IN = "built-in"
REAL = "real"
REAL_URL = os.environ.get("NOTIFIER_TEST_MAILHOG_URL", "")
REAL_SMTP = os.environ.get("NOTIFIER_TEST_MAILHOG_SMTP", "127.0.0.1:1025")


@pytest.fixture
def send(inbox: BackgroundInbox) -> Send:
    """Send a mail to the inbox: `raw` bytes, or a mail composed from the other fields."""

    def to_inbox(
        subject: str = "Hello",
        *,
        to: str = "ann@customer.example",
        sender: str = "shop@shop.example",
        raw: bytes | None = None,
        **bodies: Any,
    ) -> None:
        content = raw if raw is not None else composed(subject, to, sender, **bodies).as_bytes()
        with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example", timeout=100) as client:
            client.sendmail(sender, [to], content)

    return to_inbox


def composed(
    subject: str, to: str, sender: str, *, text: str = "Good day.", html: str | None = None, image: bytes = b""
) -> EmailMessage:
    """A mail with a text part and, if given, HTML with an inline image `cid:logo`."""
    mail = EmailMessage()
    mail["Subject"], mail["To"], mail["From"] = subject, to, f"The Shop <{sender}>"
    mail.set_content(text)
    if html is not None:
        mail.add_alternative(html, subtype="html")
    if image:
        body = mail.get_body(("html",))
        assert isinstance(body, EmailMessage)
        body.add_related(image, maintype="image", subtype="png", cid="<logo>")
    return mail


@pytest.fixture
def http(inbox: BackgroundInbox) -> Iterator[httpx2.Client]:
    """A client for the inbox's HTTP side."""
    with httpx2.Client(base_url=inbox.http_url, trust_env=False) as client:
        yield client


@pytest.fixture
def say(inbox: BackgroundInbox) -> Iterator[Callable[[bytes, int], list[bytes]]]:
    """Write bytes to the SMTP port after the greeting and EHLO, and read that many reply lines."""
    with socket.create_connection((inbox.smtp_host, inbox.smtp_port), timeout=100) as connection:
        replies = connection.makefile("rb")

        def converse(data: bytes, lines: int) -> list[bytes]:
            connection.sendall(data)
            return [replies.readline().rstrip() for _ in range(lines)]

        replies.readline()
        connection.sendall(b"EHLO tests.example\r\n")
        while not replies.readline().startswith(b"250 "):
            pass
        yield converse
        replies.close()


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True)
class MailHog:
    """The address of the server under test."""

    url: str
    smtp_host: str
    smtp_port: int


@pytest.fixture(params=[BUILT_IN, REAL] if REAL_URL else [BUILT_IN])
def mailhog(request: pytest.FixtureRequest) -> Iterator[MailHog]:
    """An empty MailHog."""
    if request.param == REAL:
        host, _, port = REAL_SMTP.rpartition(":")
        httpx2.delete(f"{REAL_URL}/api/v1/messages").raise_for_status()
        yield MailHog(REAL_URL, host, int(port))
        return
    with BackgroundInbox() as inbox:
        yield MailHog(inbox.http_url, inbox.smtp_host, inbox.smtp_port)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for all tests."""
    driver = browser.start_browser(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


class Page:
    """A person's actions on the page; each wait ends as soon as the browser shows the expected state."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self.url = url
        self._wait = WebDriverWait(
            browser, 20, poll_frequency=0.02, ignored_exceptions=[StaleElementReferenceException]
        )

    def open(self, path: str = "/") -> None:
        """Load the page and wait until it listens for new mail."""
        self.browser.get(self.url + path)
        self.until(lambda: self.find("#live").get_attribute("data-state") == "live")

    def all(self, selector: str) -> list[WebElement]:
        """The elements that match now."""
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector: str) -> WebElement:
        """Return the element as soon as it exists."""
        return self._wait.until(lambda _: next(iter(self.all(selector)), None))  # type: ignore[return-value]

    def texts(self, selector: str) -> list[str]:
        """The texts of the matching elements."""
        return [element.text for element in self.all(selector)]

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds."""
        self._wait.until(lambda _: condition())

    def until_subjects(self, *subjects: str) -> None:
        """Wait until the list shows exactly these subjects, in this order."""
        self.until(lambda: self.texts(".row-subject") == list(subjects))

    def until_reading(self, subject: str) -> None:
        """Wait until this message is open."""
        self.until(lambda: self.texts("h1.subject") == [subject])

    def press(self, key: str) -> None:
        """Press a key, wherever the focus is."""
        webdriver.ActionChains(self.browser).send_keys(key).perform()


@pytest.fixture
def page(chromium: webdriver.Chrome, inbox: BackgroundInbox) -> Iterator[Page]:
    """The page of a new inbox, in a wide window."""
    chromium.set_window_size(1280, 800)
    opened = Page(chromium, inbox.http_url)
    opened.open()
    yield opened
    # Leaving the page closes its event stream before the inbox stops.
    chromium.get("about:blank")
