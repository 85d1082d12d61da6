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
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect
from support import browser

from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.web_app import Access

Send = Callable[..., None]
BUILT_IN = "built-in"
REAL = "real"
REAL_URL = os.environ.get("NOTIFIER_TEST_MAILHOG_URL", "")
REAL_SMTP = os.environ.get("NOTIFIER_TEST_MAILHOG_SMTP", "127.0.0.1:1025")


@pytest.fixture
def send(inbox: BackgroundInbox) -> Send:
    """Send a mail to the inbox, or `via` another: `raw` bytes, or a mail composed from the other fields."""

    def to_inbox(
        subject: str = "Hello",
        *,
        to: str = "ann@customer.example",
        sender: str = "shop@shop.example",
        raw: bytes | None = None,
        via: BackgroundInbox = inbox,
        **bodies: Any,
    ) -> None:
        content = raw if raw is not None else composed(subject, to, sender, **bodies).as_bytes()
        with smtplib.SMTP(via.smtp_host, via.smtp_port, local_hostname="tests.example", timeout=100) as client:
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


class InboxPage:
    """A person's actions on the page; each wait ends as soon as the browser shows the expected state."""

    def __init__(self, page: Page, inbox: BackgroundInbox, elsewhere: BackgroundInbox) -> None:
        self.page = page
        self.inbox = inbox
        self.elsewhere = elsewhere  # a server to which the inbox may release mail
        self.url = inbox.http_url
        self.errors: list[str] = []  # of the browser's console
        page.on("console", self._note_message)

    def start_again(self) -> None:
        """Empty the inbox, and load its page in a wide window."""
        self.inbox.clear()
        self.elsewhere.clear()
        self.url = self.inbox.http_url
        self.page.set_viewport_size({"width": 1280, "height": 800})
        self.errors.clear()
        self.open()

    def open(self, path: str = "/") -> None:
        """Load the page and wait until it listens for new mail."""
        self.page.goto(self.url + path)
        expect(self.find("#live")).to_have_attribute("data-state", "live")

    def find(self, selector: str) -> Locator:
        """Return what matches the selector; it is waited for when it is used."""
        return self.page.locator(selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of the matching elements."""
        return self.find(selector).all_inner_texts()

    def until_texts(self, selector: str, *texts: str) -> None:
        """Wait until the matching elements have exactly these texts."""
        expect(self.find(selector)).to_have_text(list(texts))

    def until_subjects(self, *subjects: str) -> None:
        """Wait until the list shows exactly these subjects, in this order."""
        self.until_texts(".row-subject", *subjects)

    def until_reading(self, subject: str) -> None:
        """Wait until this message is open."""
        self.until_texts("h1.subject", subject)

    def press(self, key: str) -> None:
        """Press a key, wherever the focus is."""
        self.page.keyboard.press(key)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the tests of a module."""
    expect.set_options(timeout=browser.WAIT_MILLISECONDS)
    with browser.start_chromium() as started:
        yield started


@pytest.fixture(scope="module")
def shared_page(chromium: Browser) -> Iterator[InboxPage]:
    """One page for the tests of a module; its inbox knows a console and may release mail."""
    with BackgroundInbox() as elsewhere:
        access = Access(release_ports=[elsewhere.smtp_port])
        with BackgroundInbox(access=access, console_url="http://console.example/console") as running:
            # Otherwise Playwright's own colour scheme would win in frames.
            context = chromium.new_context(color_scheme="null")
            yield InboxPage(context.new_page(), running, elsewhere)
            context.close()  # and with it the event stream, before the inbox stops


@pytest.fixture
def page(shared_page: InboxPage) -> InboxPage:
    """The page of an empty inbox, in a wide window."""
    shared_page.start_again()
    return shared_page
