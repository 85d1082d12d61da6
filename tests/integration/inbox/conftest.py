"""What the inbox's tests share: a running inbox, a way to send mail to it, and its HTTP side."""

import smtplib
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest

from notifier.inbox.fixture import BackgroundInbox, inbox

__all__ = ["inbox"]

Send = Callable[..., None]


@pytest.fixture
def send(inbox: BackgroundInbox) -> Send:
    """Send a mail to the inbox: `raw` bytes, or one that is composed from the other fields."""

    def to_inbox(
        subject: str = "Hello",
        *,
        to: str = "ann@customer.example",
        sender: str = "shop@shop.example",
        raw: bytes | None = None,
        **bodies: Any,
    ) -> None:
        content = raw if raw is not None else composed(subject, to, sender, **bodies).as_bytes()
        with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example", timeout=10) as client:
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
    with socket.create_connection((inbox.smtp_host, inbox.smtp_port), timeout=10) as connection:
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
