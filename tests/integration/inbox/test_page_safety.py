"""The page in a real Chromium: nothing in a mail runs, and nothing is fetched without the reader's consent."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import pytest
from playwright.sync_api import expect

from notifier.inbox.inbox_server import BackgroundInbox

if TYPE_CHECKING:
    from integration.inbox.conftest import InboxPage

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)

Send = Callable[..., None]


@pytest.fixture
def inbox(page: "InboxPage") -> BackgroundInbox:
    """The inbox of the page."""
    return page.inbox


def test_nothing_in_a_mail_runs(page: "InboxPage", send: Send) -> None:
    """Scripts, event handlers and frames in HTML do not run; markup in text, names and subjects is shown as text."""
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
    page.find(".row").click()
    page.until_reading("<img src=x onerror=\"document.title='subject'\">")

    frame = page.find("iframe.paper").content_frame
    expect(frame.locator("#marker")).to_have_text("Shown.")
    assert frame.locator("body").get_attribute("data-ran") is None
    page.find("#tab-text").click()
    page.until_texts("pre.text", "<script>document.title='text'</script>")
    assert page.page.title() == "Inbox"


def test_inline_images_are_shown_and_remote_ones_only_on_request(page: "InboxPage", send: Send) -> None:
    """A tracking pixel is fetched only after the reader allows it."""
    with Tracker() as tracker:
        send(
            "Images", html=f'<img id=logo src="cid:logo"><img src="http://127.0.0.1:{tracker.port}/pixel">', image=PIXEL
        )
        page.find(".row").click()
        page.until_reading("Images")
        logo = page.find("iframe.paper").content_frame.locator("#logo")
        expect(logo).to_have_js_property("naturalWidth", 1)
        assert tracker.hits == []

        page.find(".notice button").click()

        expect(page.find(".notice")).to_have_count(0)
        assert tracker.hit.wait(60)
        assert tracker.hits == ["/pixel"]


class Tracker:
    """A web server that records which paths are fetched."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.hit = threading.Event()
        tracker = self

        class Note(BaseHTTPRequestHandler):
            """Records the path of a request."""

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
