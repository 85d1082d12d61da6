"""Mails made to be expensive: reading each has a limit and happens in another thread."""

import asyncio
import base64
import threading
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, ClassVar

import httpx2
import pytest

from notifier.inbox import html_check, html_frame, mailhog_json, page_api, received_message
from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.message_store import MessageStore
from notifier.inbox.readable_text import extract_visible_text
from notifier.inbox.received_message import ReceivedMessage

SIZE = 300_000
"""Bytes of a hostile text, large enough for quadratic time to take minutes."""


def received(raw: bytes, recipients: tuple[str, ...] = ("a@x.example",)) -> ReceivedMessage:
    """A mail as the SMTP side stores it."""
    now = datetime.now(UTC)
    return ReceivedMessage(id="x", received_at=now, helo="h", sender="s@x.example", recipients=recipients, raw=raw)


def read_all(mail: ReceivedMessage) -> None:
    """Read everything that any route reads from the mail."""
    page_api._build_detail(mail)
    mailhog_json.build_item(mail)
    assert isinstance(mail.searchable, str)
    html_frame.build_frame(mail.html or "", mail)


def filled(text: str) -> str:
    """Repeat this text up to the test's size."""
    return text * (SIZE // len(text))


@pytest.mark.parametrize(
    "html",
    [
        filled("<link "), filled("<head "), filled("<html "), "src=" + " " * SIZE, filled("src= "), filled("<a"),
        "<" + "a" * SIZE, filled("<!--"), filled("<style>"), filled("</style "), filled("cid:"), filled("url( "),
        "<!doctype " * (SIZE // 10), " " * SIZE, filled("<link href"), filled("<a b='"), filled("&#"),
    ],
)  # fmt: skip
def test_html_takes_linear_time(html: str) -> None:
    """HTML is read in linear time, whatever it leaves open."""
    mail = EmailMessage()
    mail.set_content("x")
    mail.add_alternative(html, subtype="html")
    read_all(received(b"Content-Type: text/html\r\n\r\n" + html.encode()))
    assert isinstance(extract_visible_text(html), str)


@pytest.mark.parametrize(
    "raw",
    [
        b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(20_000)) + b"\r\nx",
        b"Subject: x\r\n" + b" y\r\n" * 100_000 + b"\r\nx",
        b"Content-Type: " + b"a;" * (SIZE // 4) + b"\r\n\r\nx",
        b"Content-Type: text/plain; " + b'a="' * SIZE + b"\r\n\r\nx",
        b"Content-Disposition: attachment; filename=" + b'"' * SIZE + b"\r\n\r\nx",
        b"Content-Type: " + b"(" * SIZE + b"\r\n\r\nx",
        b"From: " + b"(" * SIZE + b"\r\nSubject: " + b"=?a?q?" * SIZE + b"\r\n\r\nx",
        b"From: " + b"," * SIZE + b"\r\nSubject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5_000,
        b"".join(b"Content-Type: multipart/x; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2_000)),
        b"Content-Type: message/rfc822\r\n\r\n" * 2_000,
    ],
    ids=[
        "headers", "folds", "parameters", "quotes", "filename", "comments", "words", "commas", "parts", "fewer parts",
        "depth", "forwards",
    ],
)  # fmt: skip
def test_messages_are_read_up_to_limits(raw: bytes) -> None:
    """Headers, parameters, parts and nesting levels are read up to a limit."""
    mail = received(raw)
    read_all(mail)
    assert len(mail.headers) <= received_message.MAX_HEADERS
    assert len(mail.attachments) <= received_message.MAX_MIME_PARTS
    assert max((len(value) for _, value in mail.headers), default=0) <= received_message.MAX_HEADER_LENGTH


def test_an_image_that_is_shown_often_is_built_in_up_to_a_limit() -> None:
    """An image that is used a thousand times is inlined up to a limit; each image fits once."""
    picture = base64.b64encode(b"x" * 700_000)
    html = b'<img src="cid:big">' * 1_000
    raw = (
        b"Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n" + html
        + b"\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <big>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + picture + b"\r\n--b--\r\n"
    )  # fmt: skip
    mail = received(raw)
    document = html_frame.build_frame(mail.html or "", mail)
    assert len(document) <= html_frame.MAX_INLINE_IMAGE_BYTES + len(html) + 100
    assert document.count("data:image/png") == html_frame.MAX_INLINE_IMAGE_BYTES // (len(picture) + 22)
    assert document.count("cid:big") == 1_000 - document.count("data:image/png")
    assert page_api._build_detail(mail)["files"][0]["inline"]


def test_the_store_counts_envelopes() -> None:
    """The size of a mail in the store includes its recipients."""

    async def fill() -> int:
        store = MessageStore(max_bytes=1_000)
        for number in range(3):
            mail = received(b"x", tuple("a" * 100 for _ in range(4)))
            store.add(ReceivedMessage(**{**vars(mail), "id": str(number)}))
        return len(store)

    assert asyncio.run(fill()) == 2


async def test_a_check_that_takes_too_long_is_stopped() -> None:
    """A check is stopped after its time, even if it would go on for minutes."""
    mail = received(b"Content-Type: text/html\r\n\r\n" + filled("<a b='").encode())
    with pytest.raises(html_check.CheckFailedError, match="was stopped"):
        await html_check.check_html(mail, seconds=0.05)


async def test_html_that_is_too_large_or_too_complicated_is_not_checked() -> None:
    """HTML over the limit is not checked; HTML that the rules give up on is reported as such."""
    large = filled("<p>") * 4
    rules = "<style>" + "a b{}" * 3_000 + "</style>" + "<a></a>" * 2_000
    for html, reason in ((large, "too large"), (rules, "too complicated")):
        with pytest.raises(html_check.CheckFailedError, match=reason):
            await html_check.check_html(received(b"Content-Type: text/html\r\n\r\n" + html.encode()))


class NotingBytes(bytes):
    """Bytes of a mail that record which threads read them."""

    readers: ClassVar[set[str]] = set()

    def count(self, *arguments: Any) -> int:
        self.readers.add(threading.current_thread().name)
        return super().count(*arguments)

    def startswith(self, *arguments: Any) -> bool:
        self.readers.add(threading.current_thread().name)
        return super().startswith(*arguments)


def test_no_route_reads_a_mail_in_the_event_loop(inbox: BackgroundInbox, http: httpx2.Client) -> None:
    """No route reads a mail in the event loop, where the SMTP side runs."""
    paths = (
        "/api/v1/messages", "/api/v1/messages/x", "/api/v2/messages", "/api/v2/search?kind=to&query=a",
        "/inbox/messages", "/inbox/messages?query=a", "/inbox/messages/x", "/inbox/messages/x/frame",
        "/inbox/messages/x/html", "/inbox/messages/x/attachments/0", "/inbox/messages/x/attachments/0/image",
        "/api/v1/messages/x/mime/part/0/download",
    )  # fmt: skip
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>"
        b"\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"
    )
    for path in paths:
        NotingBytes.readers.clear()
        inbox.clear()
        inbox._call(lambda: inbox._inbox.store.add(received(NotingBytes(raw))))
        assert http.get(path).status_code == 200, path
        assert NotingBytes.readers, path
        assert "notifier-inbox" not in NotingBytes.readers, path
