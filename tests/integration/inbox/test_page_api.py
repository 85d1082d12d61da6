"""The page's API: summaries, details, the framed HTML, source and attachments."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest

from notifier.inbox.html_frame import build_frame, has_remote_content
from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.received_message import ReceivedMessage
from notifier.sse import _format_events

Send = Callable[..., None]
PIXEL = b"\x89PNG"


def listing(http: httpx2.Client, **parameters: Any) -> dict[str, Any]:
    """The list as the page receives it."""
    content: dict[str, Any] = http.get("/inbox/messages", params=parameters).raise_for_status().json()
    return content


def test_the_list_has_what_a_row_shows(http: httpx2.Client, inbox: BackgroundInbox, send: Send) -> None:
    """A row has decoded fields, and the list has the address to send to."""
    send("Grüße", text="Good\nmorning", html='<img src="cid:logo">', image=PIXEL)

    content = listing(http)

    (row,) = content["items"]
    assert (content["total"], content["found"]) == (1, 1)
    assert content["smtp"] == f"{inbox.smtp_host}:{inbox.smtp_port}"
    assert row["from"] == {"name": "The Shop", "address": "shop@shop.example"}
    assert (row["subject"], row["preview"], row["to"]) == ("Grüße", "Good morning", ["ann@customer.example"])
    assert row["attachments"] == 0


def test_a_mail_without_a_from_shows_its_envelope_sender(http: httpx2.Client, send: Send) -> None:
    """A mail without From shows its envelope sender, so that every row has a name."""
    send(raw=b"Subject: x\r\n\r\nx\r\n")

    assert listing(http)["items"][0]["from"] == {"name": "", "address": "shop@shop.example"}


@pytest.mark.parametrize(
    ("query", "subjects"),
    [
        ("grüße", ["Grüße"]),
        ("good evening", ["Evening"]),
        ("EVENING ann@", ["Evening"]),
        ("nowhere", []),
        (" ", ["Evening", "Grüße"]),
    ],
)
def test_search_looks_at_what_a_person_reads(http: httpx2.Client, send: Send, query: str, subjects: list[str]) -> None:
    """A search matches when all words occur in the decoded mail, in any place."""
    send("Grüße")
    send("Evening", text="Good evening.")

    assert [row["subject"] for row in listing(http, query=query)["items"]] == subjects


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("x", 2), ("99999", 2)])
def test_the_list_is_as_long_as_asked(http: httpx2.Client, send: Send, limit: str, count: int) -> None:
    """The list has the requested length; an invalid length is the default."""
    send("one")
    send("two")

    content = listing(http, limit=limit)

    assert (len(content["items"]), content["found"]) == (count, 2)


def test_a_detail_has_headers_text_and_files(http: httpx2.Client, send: Send) -> None:
    """A detail has headers, text and files with names and sizes, and only a flag for HTML."""
    send(
        raw=b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
        b"Content-Type: text/csv; name=a.csv\r\n\r\n1;2\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"
    )
    message_id = listing(http)["items"][0]["id"]

    detail = http.get(f"/inbox/messages/{message_id}").json()

    assert detail["headers"][0] == ["Subject", "s"]
    assert (detail["text"], detail["html"], detail["remote"], detail["truncated"]) == ("text", False, False, False)
    assert [(file["name"], file["size"], file["inline"]) for file in detail["files"]] == [
        ("a.csv", 3, False),
        ("part 2 (image/png)", 1, False),
    ]
    saved = http.get(f"/inbox/messages/{message_id}/attachments/0")
    assert saved.content == b"1;2"
    assert saved.headers["content-disposition"] == "attachment; filename*=UTF-8''a.csv"
    assert saved.headers["content-type"] == "application/octet-stream"
    assert http.get(f"/inbox/messages/{message_id}/attachments/2").status_code == 404
    assert http.get(f"/inbox/messages/{message_id}/frame").status_code == 404


@pytest.mark.parametrize("path", ["", "/frame", "/source", "/html", "/check", "/attachments/0", "/attachments/0/image"])
def test_a_message_that_is_gone_is_not_found(http: httpx2.Client, path: str) -> None:
    """Every route of a message is 404 once the message is gone."""
    assert http.get(f"/inbox/messages/gone{path}").status_code == 404


def test_the_source_is_the_first_megabyte(http: httpx2.Client, send: Send) -> None:
    """The source is cut at one megabyte, and the reply says so."""
    send(raw=b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 100_000)
    message_id = listing(http)["items"][0]["id"]

    assert len(http.get(f"/inbox/messages/{message_id}/source").text) == 1024 * 1024
    assert http.get(f"/inbox/messages/{message_id}").json()["truncated"]


def test_the_html_is_given_as_text(http: httpx2.Client, send: Send) -> None:
    """The decoded HTML part is plain text without rights; a mail without one has none."""
    send("Grüße", html="<p>Grüße</p><script>x</script>")
    send("plain")
    plain, rich = (row["id"] for row in listing(http)["items"])

    shown = http.get(f"/inbox/messages/{rich}/html")

    assert shown.text.strip() == "<p>Grüße</p><script>x</script>"
    assert shown.headers["content-type"].startswith("text/plain")
    assert "sandbox" in shown.headers["content-security-policy"]
    for path in ("html", "check"):
        assert http.get(f"/inbox/messages/{plain}/{path}").status_code == 404


def test_only_raster_images_are_shown(http: httpx2.Client, send: Send) -> None:
    """An image is shown with its own type and without rights; SVG, HTML and PDF are never shown."""
    mail = EmailMessage()
    mail.set_content("x")
    for kind in ("image/png", "image/jpeg", "image/svg+xml", "text/html", "application/pdf"):
        maintype, subtype = kind.split("/")
        mail.add_attachment(b"<script>x</script>", maintype=maintype, subtype=subtype, filename="a")
    send(raw=mail.as_bytes())
    message_id = listing(http)["items"][0]["id"]

    files = http.get(f"/inbox/messages/{message_id}").json()["files"]

    assert [file["image"] for file in files] == [True, True, False, False, False]
    replies = [http.get(f"/inbox/messages/{message_id}/attachments/{number}/image") for number in range(6)]
    assert [reply.status_code for reply in replies] == [200, 200, 404, 404, 404, 404]
    assert replies[0].headers["content-type"] == "image/png"
    assert replies[0].headers["x-content-type-options"] == "nosniff"
    assert replies[0].headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"


def test_a_mail_without_a_console_has_no_notification(http: httpx2.Client, send: Send) -> None:
    """The page has a link to a notification only if the inbox knows the console's URL."""
    send(raw=b"Message-ID: <0193786f11117abc8abcabcdefabcdef@shop.example>\r\n\r\nx\r\n")

    assert http.get(f"/inbox/messages/{listing(http)['items'][0]['id']}").json()["notification"] is None


def test_the_frame_runs_nothing_and_fetches_nothing(http: httpx2.Client, send: Send) -> None:
    """The policy of the frame allows inline styles and inlined images, and remote images only on request."""
    send(html='<!doctype html><html><head></head><img src="cid:logo"><img src="cid:other">', image=PIXEL)
    message_id = listing(http)["items"][0]["id"]

    closed = http.get(f"/inbox/messages/{message_id}/frame")
    opened = http.get(f"/inbox/messages/{message_id}/frame", params={"remote": "1"})

    policy = closed.headers["content-security-policy"]
    assert "script-src" not in policy
    assert "http" not in policy
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "img-src data: http: https:" in opened.headers["content-security-policy"]
    assert '<img src="data:image/png;base64,iVBORw==">' in closed.text
    assert '<img src="cid:other">' in closed.text
    assert closed.headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize(
    ("html", "linked_out"),
    [
        ("<!DOCTYPE html><p>x", '<!DOCTYPE html><base target="_blank"><p>x'),
        ("<html lang=en><p>x", '<html lang=en><base target="_blank"><p>x'),
        ("<html><head><title>", '<html><head><base target="_blank"><title>'),
        ("<header>x", '<base target="_blank"><header>x'),
    ],
)
def test_links_in_a_mail_open_a_tab_of_their_own(
    inbox: BackgroundInbox, send: Send, html: str, linked_out: str
) -> None:
    """The base element comes as early as possible without changing the layout of the document."""
    send()

    assert build_frame(html, first(inbox)) == linked_out


def first(inbox: BackgroundInbox) -> ReceivedMessage:
    """The oldest message."""
    return inbox.messages()[0]


@pytest.mark.parametrize(
    ("html", "remote"),
    [
        ('<img src="https://x.example/a.png">', True),
        ("<td background=//x.example/a.png>", True),
        ("<style>p{background:url( 'http://x.example/a')}</style>", True),
        ('<link rel=stylesheet href="https://x.example/a.css">', True),
        ('<a href="https://x.example/">link</a><img src="cid:a">', False),
    ],
)
def test_a_mail_that_asks_for_remote_content_is_recognised(html: str, remote: bool) -> None:  # noqa: FBT001
    """Remote content is detected; a plain link is not remote content."""
    assert has_remote_content(html) is remote


def test_the_page_is_told_of_every_change(http: httpx2.Client, inbox: BackgroundInbox, send: Send) -> None:
    """The page gets the number at once, and again after mail arrives or is deleted."""
    with http.sse("/inbox/changes") as events:
        numbers = (int(event.data) for event in events)
        assert next(numbers) == 0
        send()
        assert next(numbers) == 1
        inbox.clear()
        assert next(numbers) == 0


async def spoken(text: str) -> AsyncGenerator[str, None]:
    """Send one event, and then nothing."""
    yield text
    await asyncio.Event().wait()


async def test_a_silent_stream_says_that_it_is_alive() -> None:
    """An idle stream sends comments, and does not lose the event that was waited for."""
    events = spoken("one\ntwo")

    lines = _format_events(events, keep_alive=0)
    seen = [await anext(lines) for _ in range(20)]
    await lines.aclose()

    assert seen[-1] == ": still here\n\n"
    assert seen.count("data: one\ndata: two\n\n") == 1
