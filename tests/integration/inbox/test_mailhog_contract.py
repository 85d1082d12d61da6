"""MailHog's JSON contract, checked on the built-in inbox and, where one is named, on a real MailHog.

Set NOTIFIER_TEST_MAILHOG_URL and NOTIFIER_TEST_MAILHOG_SMTP (host:port) to run it on a real one too; it deletes the
mail that is there.
"""

import base64
import smtplib
from collections.abc import Callable, Iterator
from datetime import datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from notifier.inbox.client import MailHogClient
from notifier.inbox.message_search import MailNotReceived, SearchKind

if TYPE_CHECKING:
    from integration.inbox.conftest import MailHog


@pytest.fixture
def http(mailhog: "MailHog") -> Iterator[httpx2.Client]:
    """An HTTP client for the server under test."""
    with httpx2.Client(base_url=mailhog.url, trust_env=False, timeout=10) as client:
        yield client


Deliver = Callable[..., None]


@pytest.fixture
def deliver(mailhog: "MailHog") -> Deliver:
    """Hand bytes to the server under test over SMTP."""

    def to_server(
        raw: bytes, to: tuple[str, ...] = ("ann@customer.example",), sender: str = "shop@shop.example"
    ) -> None:
        with smtplib.SMTP(mailhog.smtp_host, mailhog.smtp_port, local_hostname="tests.example", timeout=10) as client:
            client.sendmail(sender, list(to), raw)

    return to_server


PLAIN = (
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: Shop <shop@shop.example>\r\nTo: Ann <ann@customer.example>\r\n"
    b"Message-ID: <1@shop.example>\r\nX-Long: one\r\n two\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe\r\n.dot\r\n"
)


def multipart() -> bytes:
    """A mail with text, HTML and an attachment in base64."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Parts", "shop@shop.example", "ann@customer.example"
    mail.set_content("plain")
    mail.add_alternative("<b>rich</b>", subtype="html")
    mail.add_attachment(b"\x00\x01\x02", maintype="application", subtype="pdf", filename="a.pdf")
    return mail.as_bytes()


def only_item(http: httpx2.Client) -> dict[str, Any]:
    """The only message."""
    answer = http.get("/api/v2/messages").raise_for_status().json()
    assert answer["total"] == 1
    item: dict[str, Any] = answer["items"][0]
    return item


def real_parts(mime: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts without MailHog's own extra part, which is the text after the last boundary and has no headers."""
    return [part for part in mime["Parts"] if part["Headers"]]


def test_a_message_has_the_fields_of_mailhog_and_no_others(http: httpx2.Client, deliver: Deliver) -> None:
    """A strict decoder of MailHog's structures reads every level."""
    deliver(PLAIN)

    item = only_item(http)

    assert set(item) == {"ID", "From", "To", "Content", "Created", "MIME", "Raw"}
    assert set(item["From"]) == set(item["To"][0]) == {"Relays", "Mailbox", "Domain", "Params"}
    assert set(item["Content"]) == {"Headers", "Body", "Size", "MIME"}
    assert set(item["Raw"]) == {"From", "To", "Data", "Helo"}
    assert datetime.fromisoformat(item["Created"]).tzinfo is not None


def test_the_envelope_is_split_into_mailbox_and_domain(http: httpx2.Client, deliver: Deliver) -> None:
    """From and To come from the SMTP dialogue, not from the header."""
    deliver(PLAIN, to=("ann@customer.example", "blind@customer.example"))

    item = only_item(http)

    assert item["From"] == {"Relays": None, "Mailbox": "shop", "Domain": "shop.example", "Params": ""}
    assert [path["Mailbox"] for path in item["To"]] == ["ann", "blind"]
    assert item["Raw"]["From"] == "shop@shop.example"
    assert item["Raw"]["To"] == ["ann@customer.example", "blind@customer.example"]
    assert item["Raw"]["Helo"] == "tests.example"


def test_header_values_are_lists_still_encoded_and_unfolded(http: httpx2.Client, deliver: Deliver) -> None:
    """Header values stay encoded, because clients decode RFC 2047 words themselves."""
    deliver(PLAIN)

    headers = only_item(http)["Content"]["Headers"]

    assert headers["Subject"] == ["=?utf-8?q?Gr=C3=BC=C3=9Fe?="]
    assert headers["X-Long"] == ["one two"]
    assert headers["Message-ID"] == ["<1@shop.example>"]
    assert headers["Return-Path"] == ["<shop@shop.example>"]
    assert headers["Received"][0].startswith("from tests.example by ")


def test_a_message_without_a_message_id_is_given_one(http: httpx2.Client, deliver: Deliver) -> None:
    """A message without a Message-ID gets one, in which MailHog writes its own id."""
    deliver(b"Subject: none\r\n\r\nHello\r\n")

    item = only_item(http)

    assert item["Content"]["Headers"]["Message-ID"] == [item["ID"]]


def test_the_body_stays_transfer_encoded_without_its_last_line_end(http: httpx2.Client, deliver: Deliver) -> None:
    """The body stays quoted-printable for clients to decode; the dot that SMTP doubles is single."""
    deliver(PLAIN)

    item = only_item(http)

    assert item["Content"]["Body"] == "Gr=C3=BC=C3=9Fe\r\n.dot"
    assert item["Raw"]["Data"] == PLAIN.decode().removesuffix("\r\n")
    assert item["Content"]["Size"] == len(PLAIN) - 2


def test_a_plain_message_has_no_mime_parts(http: httpx2.Client, deliver: Deliver) -> None:
    """The MIME field of a plain message is null, as a nil pointer is in Go."""
    deliver(PLAIN)

    assert only_item(http)["MIME"] is None


def test_a_multipart_message_is_split_at_every_level(http: httpx2.Client, deliver: Deliver) -> None:
    """The attachment stays base64; the nested alternative holds its own parts."""
    deliver(multipart())

    alternative, attachment = real_parts(only_item(http)["MIME"])

    plain, rich = real_parts(alternative["MIME"])
    assert (plain["Body"], rich["Body"]) == ("plain", "<b>rich</b>")
    assert rich["Headers"]["Content-Type"][0].startswith("text/html")
    assert base64.b64decode(attachment["Body"]) == b"\x00\x01\x02"
    assert attachment["MIME"] is None


def test_the_list_is_newest_first_and_comes_in_windows(http: httpx2.Client, deliver: Deliver) -> None:
    """The list is newest first; `start` and `limit` select a window of it."""
    for number in range(5):
        deliver(b"Subject: %d\r\n\r\nx\r\n" % number)

    answer = http.get("/api/v2/messages", params={"start": 1, "limit": 3}).json()

    assert (answer["total"], answer["count"], answer["start"]) == (5, 3, 1)
    assert [item["Content"]["Headers"]["Subject"] for item in answer["items"]] == [["3"], ["2"], ["1"]]
    assert [item["ID"] for item in http.get("/api/v1/messages").json()][1:4] == [item["ID"] for item in answer["items"]]


@pytest.mark.parametrize("parameters", [{"start": "-1", "limit": "0"}, {"start": "x", "limit": "y"}, {}])
def test_a_window_that_makes_no_sense_is_the_default_window(
    http: httpx2.Client, deliver: Deliver, parameters: dict[str, str]
) -> None:
    """A window with invalid numbers is the default window of fifty."""
    deliver(PLAIN)

    assert http.get("/api/v2/messages", params=parameters).json()["count"] == 1


@pytest.mark.parametrize(
    ("kind", "query", "names"),
    [
        ("from", "BILLING@", ["b"]),
        ("from", "The Shop", ["a"]),
        ("to", "bob@customer.example", ["b"]),
        ("to", "customer.example", ["b", "a"]),
        ("containing", "only in A", ["a"]),
        ("containing", "subject-of-b", ["b"]),
        ("containing", "nowhere", []),
    ],
)
def test_search_finds_by_sender_recipient_and_content(
    http: httpx2.Client, deliver: Deliver, kind: str, query: str, names: list[str]
) -> None:
    """A search ignores case and returns the newest match first."""
    deliver(b"X-Name: a\r\nFrom: The Shop <shop@shop.example>\r\nSubject: one\r\n\r\nThis is only in a.\r\n")
    deliver(
        b"X-Name: b\r\nSubject: subject-of-b\r\n\r\nx\r\n", to=("bob@customer.example",), sender="billing@shop.example"
    )

    answer = http.get("/api/v2/search", params={"kind": kind, "query": query}).json()

    assert [item["Content"]["Headers"]["X-Name"][0] for item in answer["items"]] == names
    assert answer["total"] == answer["count"] == len(names)


@pytest.mark.parametrize("parameters", [{"kind": "subject", "query": "x"}, {"kind": "to", "query": ""}, {}])
def test_search_refuses_an_unknown_kind_and_an_empty_query(http: httpx2.Client, parameters: dict[str, str]) -> None:
    """An unknown kind or an empty query is 400."""
    assert http.get("/api/v2/search", params=parameters).status_code == 400


def test_one_message_is_read_and_deleted_by_its_id(http: httpx2.Client, deliver: Deliver) -> None:
    """A message is read and deleted with the id from the list, without escaping."""
    deliver(b"Subject: keep\r\n\r\nx\r\n")
    deliver(b"Subject: drop\r\n\r\nx\r\n")
    drop = http.get("/api/v2/messages").json()["items"][0]

    assert http.get(f"/api/v1/messages/{drop['ID']}").json() == drop
    assert http.delete(f"/api/v1/messages/{drop['ID']}").status_code == 200
    assert only_item(http)["Content"]["Headers"]["Subject"] == ["keep"]


def test_deleting_all_leaves_nothing(http: httpx2.Client, deliver: Deliver) -> None:
    """An empty list is an array, not null."""
    deliver(PLAIN)

    assert http.delete("/api/v1/messages").status_code == 200
    assert http.get("/api/v2/messages").json() == {"total": 0, "count": 0, "start": 0, "items": []}
    assert http.get("/api/v1/messages").json() == []


def test_a_message_downloads_as_a_mail_file(http: httpx2.Client, deliver: Deliver) -> None:
    """A message is downloaded with the type of a mail, as an attachment."""
    deliver(PLAIN)

    answer = http.get(f"/api/v1/messages/{only_item(http)['ID']}/download")

    assert answer.headers["content-type"].startswith("message/rfc822")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" in answer.content
    assert b"\r\n\r\nGr=C3=BC=C3=9Fe\r\n.dot" in answer.content


def test_a_part_downloads_without_its_base64(http: httpx2.Client, deliver: Deliver) -> None:
    """A downloaded part is decoded and has its own type and name."""
    deliver(multipart())

    answer = http.get(f"/api/v1/messages/{only_item(http)['ID']}/mime/part/1/download")

    assert answer.content == b"\x00\x01\x02"
    assert answer.headers["content-type"].startswith("application/pdf")
    assert "a.pdf" in answer.headers["content-disposition"]


def test_new_messages_come_as_server_sent_events(http: httpx2.Client, deliver: Deliver) -> None:
    """The data of a server-sent event is the message as the list shows it."""
    with http.sse("/api/v1/events") as events:
        deliver(PLAIN)
        event = next(iter(events)).json()

    assert event == only_item(http)


def test_the_client_reads_searches_waits_and_deletes(mailhog: "MailHog", deliver: Deliver) -> None:
    """The client that users get works with either server."""
    deliver(PLAIN)
    deliver(b"Subject: later\r\n\r\nx\r\n", to=("bob@customer.example",))

    with MailHogClient(mailhog.url) as client:
        first, second = client.messages()
        assert (first.subject, second.subject) == ("Grüße", "later")
        assert first.text == "Grüße\n.dot\n"
        assert first.raw == PLAIN
        assert client.wait_for(to="Bob@customer.example").id == second.id
        assert [message.id for message in client.search(SearchKind.TO, "ann@")] == [first.id]
        client.delete(first.id)
        assert [left.id for left in client.messages()] == [second.id]
        client.clear()
        assert client.messages() == []


def test_the_client_waits_for_mail_that_is_still_to_come(mailhog: "MailHog", deliver: Deliver) -> None:
    """A wait passes over other mail, and its failure lists what came."""
    with MailHogClient(mailhog.url) as client:
        deliver(b"Subject: other\r\n\r\nx\r\n")

        with pytest.raises(MailNotReceived, match=r"(?s)no mail to bob@x.example.*'other'"):
            client.wait_for(to="bob@x.example", timeout=0.2)
