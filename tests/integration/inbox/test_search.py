"""Searching the inbox: decoded text is found whatever its encoding, and so is the source."""

import unicodedata
from email.message import EmailMessage, MIMEPart
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import httpx2
import pytest
from integration.inbox.conftest import Send

from notifier.inbox.readable_text import MAX_PART_LENGTH, extract_visible_text, fold_text

LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit. Ut tortor tellus, venenatis eu molestie é a. "
    "Übrigens: fünf Bücher, price £ 5."
)


def _mail() -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = "Grüße — Your free product, which is waiting for you since the day before yesterday"
    mail["From"] = "Jürgen Müller <shop@shop.example>"
    mail["To"] = "Ada Löwe <ada@example.com>"
    mail["X-Campaign"] = "Frühling"
    mail.set_content(LOREM, cte="quoted-printable")
    html = (
        "<html><head><title>Internal title</title><style>p { color: red }</style></head><body>"
        "<p>Gr&uuml;&szlig;e aus <b>K&ouml;</b>ln&nbsp;am\n Rhein</p><p>Tom &amp; Jerry &lt;3</p>"
        "<td>Left</td><td>Right</td><p>un&shy;sub&#8203;scribe</p><a href='https://shop.example/u/4711'>here</a>"
        "<script>var hidden</script><!-- a comment --></body></html>"
    )
    mail.add_alternative(html, subtype="html", cte="base64")
    mail.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
    mail.add_attachment("Zürich;1\n", subtype="csv", filename="städte.csv", cte="base64")
    return mail


@pytest.fixture
def http_with_mail(send: Send, http: httpx2.Client) -> httpx2.Client:
    """An inbox with the mail of the tests and another one."""
    send(raw=_mail().as_bytes(), to="ada@example.com")
    send("Another subject", text="Another text, of no interest.")
    return http


def _find_names(http: httpx2.Client, query: str, kind: str = "containing") -> int:
    reply = http.get("/api/v2/search", params={"kind": kind, "query": query})
    assert reply.status_code == 200
    return int(reply.json()["total"])


READ = [
    "Your free product",
    "GRÜSSE — your FREE",
    unicodedata.normalize("NFD", "Grüße"),
    "waiting for you since the day before yesterday",
    "Ut tortor tellus, venenatis eu molestie",
    "fünf Bücher, price £ 5",
    "Köln am Rhein",
    "Grüße aus Köln",
    "Tom & Jerry <3",
    "Left Right",
    "unsubscribe",
    "https://shop.example/u/4711",
    "Frühling",
    "Jürgen Müller",
    "Rechnung März.pdf",
    "Zürich;1",
]


@pytest.mark.parametrize("query", READ)
def test_what_a_person_reads_is_found(http_with_mail: httpx2.Client, query: str) -> None:
    """Words in the subject, names, both parts, other fields, file names and text files find that mail once."""
    assert _find_names(http_with_mail, query) == 1
    assert http_with_mail.get("/inbox/messages", params={"query": query}).json()["found"] == 1


def test_what_came_over_the_wire_is_found_as_before(http_with_mail: httpx2.Client) -> None:
    """Encoded words, boundaries and base64 are found as they stand in the source."""
    assert _find_names(http_with_mail, "Content-Transfer-Encoding: base64") == 1
    assert _find_names(http_with_mail, "=?utf-8?") == 1
    assert _find_names(http_with_mail, "=C3=A9") == 1
    assert _find_names(http_with_mail, "subject:") == 2


def test_what_nobody_wrote_is_not_found(http_with_mail: httpx2.Client) -> None:
    """Words of different fields do not match as one phrase, and letters that only look alike do not match."""
    for query in ("Rhein Tom & Jerry of", "here Another", "KoeIn", "yesterday Lorem"):
        assert _find_names(http_with_mail, query) == 0


def test_senders_and_recipients_are_found_by_their_names(http_with_mail: httpx2.Client) -> None:
    """A name is found as decoded, as sent, and as in the envelope; senders and recipients are not mixed up."""
    assert [_find_names(http_with_mail, query, "from") for query in ("jürgen MÜLLER", "shop@shop", "Ada")] == [1, 2, 0]
    assert [_find_names(http_with_mail, query, "to") for query in ("ada löwe", "ada@example", "Jürgen")] == [1, 1, 0]


@pytest.mark.parametrize("charset", ["iso-8859-1", "windows-1252", "iso-2022-jp", "utf-16", "koi8-r"])
def test_other_charsets_are_read(send: Send, http: httpx2.Client, charset: str) -> None:
    """A mail in an old charset is decoded."""
    words = {"iso-2022-jp": "請求書 在中", "koi8-r": "Привет Ада", "utf-16": "Grüße ☃"}
    text = words.get(charset, "Grüße aus Köln")
    part = MIMEPart()
    part["Subject"], part["To"] = "Old", "ada@example.com"
    part["Content-Type"] = f'text/plain; charset="{charset}"'
    part["Content-Transfer-Encoding"] = "base64"
    part.set_payload(MIMEApplication(text.encode(charset)).get_payload())
    send(raw=part.as_bytes())
    assert _find_names(http, text) == 1
    assert _find_names(http, text.split()[1]) == 1


def test_a_word_that_is_broken_by_the_encoding_is_whole(send: Send, http: httpx2.Client) -> None:
    """Soft line breaks, folded fields and adjacent encoded words do not split a word."""
    mail = MIMEMultipart()
    mail["To"] = "ada@example.com"
    mail["Subject"] = "=?utf-8?q?Donaudampfschiff?=\r\n =?utf-8?q?fahrtsgesellschaft?="
    mail.attach(MIMEText("x", "plain"))
    raw = mail.as_bytes().replace(b"\n\nx", b"\n\nDonaudampf=\r\nschiffskapit=C3=A4n")
    raw = raw.replace(b"Content-Transfer-Encoding: 7bit", b"Content-Transfer-Encoding: quoted-printable")
    raw = raw.replace(b"us-ascii", b"utf-8")
    send(raw=raw)
    assert _find_names(http, "donaudampfschifffahrtsgesellschaft") == 1
    assert _find_names(http, "DONAUDAMPFSCHIFFSKAPITÄN") == 1


@pytest.mark.parametrize("hostile", ["<!", "<a ", "<!--", "</", "<script>", "&", "<![foo bar]>", "<a b='", "<head>"])
def test_hostile_markup_is_searched_like_any_other(hostile: str) -> None:
    """HTML with a hundred thousand open tags is read once, in linear time."""
    assert isinstance(fold_text(extract_visible_text(hostile * 200_000)), str)
    assert len(extract_visible_text("x" * (2 * MAX_PART_LENGTH))) == MAX_PART_LENGTH


def test_the_inbox_has_answers_of_its_own_for_other_paths(http: httpx2.Client) -> None:
    """Unknown paths get the inbox's own errors: no redirects, HEAD wherever GET is, and all methods in Allow."""
    for path in ("/nothing", "/api/v2/messages/", "//api/v2/messages", "/static", "/static/", "/static/nothing.js"):
        for method in ("GET", "HEAD", "POST"):
            reply = http.request(method, path)
            assert reply.status_code in {404, 405}, (method, path)
            assert reply.text.strip() not in {"Not Found", "Method Not Allowed"}
    assert http.put("/api/v1/messages").headers["allow"] == "DELETE, GET, HEAD"
    assert http.post("/").headers["allow"] == "GET, HEAD"
    assert http.post("/api/v1/messages/1/release", content=b"\xff").status_code == 404


def test_head_of_the_inbox_is_get_without_its_body(send: Send, http: httpx2.Client) -> None:
    """HEAD returns the headers of GET without a body, and does not start a stream."""
    send("Hello")
    message_id = http.get("/api/v2/messages").json()["items"][0]["ID"]
    for path in (
        "/",
        "/api/v1/messages",
        "/api/v2/messages",
        f"/api/v1/messages/{message_id}/download",
        "/inbox/messages",
    ):
        head, get = http.head(path), http.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    for path in ("/api/v1/events", "/inbox/changes"):
        head = http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")


def test_a_release_that_is_no_json_is_refused_with_a_sentence(send: Send, http: httpx2.Client) -> None:
    """Invalid UTF-8 and endless brackets are refused with a sentence, and are no server error."""
    send("Hello")
    message_id = http.get("/api/v2/messages").json()["items"][0]["ID"]
    for body in (b"\xff", b"[" * 100_000, b"", b"{'a': 1}"):
        reply = http.post(f"/api/v1/messages/{message_id}/release", content=body)
        assert (reply.status_code, reply.text) == (400, "The body is not JSON.")
