"""The SMTP side accepts what other servers refuse, byte for byte."""

import smtplib
import socket
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.smtp_receiver import MAX_MESSAGE_BYTES

Say = Callable[[bytes, int], list[bytes]]
Send = Callable[..., None]


def test_it_offers_the_extensions_that_it_keeps(inbox: BackgroundInbox) -> None:
    """EHLO offers SMTPUTF8, 8BITMIME, PIPELINING, AUTH and the size limit."""
    with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example") as client:
        client.ehlo()

        assert {"smtputf8", "8bitmime", "pipelining", "auth"} <= set(client.esmtp_features)
        assert client.esmtp_features["size"] == str(25 * 1024 * 1024)


def test_international_addresses_and_8_bit_bodies_arrive_unchanged(inbox: BackgroundInbox) -> None:
    """SMTPUTF8 and 8BITMIME work together (RFC 6531)."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Grüße", "jürgen@größe.example", "用户@例子.example"
    mail.set_content("Schöne Grüße", cte="8bit")
    with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example") as client:
        client.send_message(mail)

    received = inbox.wait_for(to="用户@例子.example")

    assert received.sender == "jürgen@größe.example"
    assert (received.subject, received.text) == ("Grüße", "Schöne Grüße\n")


def test_commands_may_be_pipelined(inbox: BackgroundInbox, say: Say) -> None:
    """MAIL, RCPT and DATA in one packet are answered in order (RFC 2920)."""
    replies = say(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n", 4)
    assert [reply[:3] for reply in replies] == [b"250", b"250", b"250", b"354"]

    (queued,) = say(b"Subject: piped\r\n\r\n..dot\r\n.\r\n", 1)

    received = inbox.wait_for(subject="piped")
    assert queued == f"250 Ok: queued as {received.id}".encode()
    assert received.recipients == ("b@x.example", "c@x.example")
    assert received.raw == b"Subject: piped\r\n\r\n.dot\r\n"


def test_the_null_sender_of_a_bounce_is_taken(inbox: BackgroundInbox, send: Send) -> None:
    """MAIL FROM:<> is an empty sender."""
    send("Undelivered", sender="")

    assert inbox.wait_for(subject="Undelivered").sender == ""


@pytest.mark.parametrize(
    ("path", "recipient"),
    [
        (b"<a..b@x_y.example>", "a..b@x_y.example"),
        (b'<"odd > one"@x.example>', '"odd > one"@x.example'),
        (b"<@relay.example:a@x.example>", "@relay.example:a@x.example"),
        (b"<postmaster>", "postmaster"),
        (b"bare@x.example", "bare@x.example"),
        (b"<a@x.example> NOTIFY=SUCCESS ORCPT=rfc822;a@x.example", "a@x.example"),
    ],
)
def test_odd_paths_and_unknown_parameters_are_taken(
    inbox: BackgroundInbox, say: Say, path: bytes, recipient: str
) -> None:
    """Unusual paths and unknown parameters are accepted, because a development inbox shows what was sent."""
    replies = say(b"MAIL FROM:<s@x.example> AUTH=<> BODY=8BITMIME\r\nRCPT TO:" + path + b"\r\nDATA\r\n", 3)
    say(b"Subject: odd\r\n\r\nx\r\n.\r\n", 1)

    assert [reply[:3] for reply in replies] == [b"250", b"250", b"354"]
    assert inbox.wait_for(subject="odd").recipients == (recipient,)


def test_any_password_is_right(inbox: BackgroundInbox) -> None:
    """Any password is accepted, as with MailHog, for programs that insist on a login."""
    with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example") as client:
        code, _ = client.login("anyone", "anything")

    assert code == 235


def test_a_line_longer_than_smtp_allows_is_taken(inbox: BackgroundInbox, send: Send) -> None:
    """A line longer than the 1,000 bytes of RFC 5321 is accepted, so that a developer sees the mail."""
    send(raw=b"Subject: long\r\n\r\n" + b"x" * 100_000 + b"\r\n")

    assert len(inbox.wait_for(subject="long").raw) > 100_000


def test_a_message_beyond_the_limit_is_refused_when_it_is_announced(say: Say) -> None:
    """A mail whose announced SIZE= exceeds the limit is refused before its first byte (RFC 1870)."""
    (reply,) = say(b"MAIL FROM:<a@x.example> SIZE=%d\r\n" % (MAX_MESSAGE_BYTES + 1), 1)

    assert reply.startswith(b"552")


def test_a_client_that_vanishes_in_the_middle_leaves_nothing(inbox: BackgroundInbox, send: Send) -> None:
    """A connection reset during DATA stores no mail, and the next client is served."""
    connection = socket.create_connection((inbox.smtp_host, inbox.smtp_port), timeout=100)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.sendall(b"EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\nSubject: half\r\n")
    connection.close()

    send("whole")

    inbox.wait_for(subject="whole")
    assert [message.subject for message in inbox.messages()] == ["whole"]
