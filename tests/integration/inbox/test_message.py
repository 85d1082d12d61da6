"""Reading a mail: what a person sees, for any bytes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.inbox import mailhog_json
from notifier.inbox.page_api import build_preview
from notifier.inbox.readable_text import decode_header, parse_mailbox
from notifier.inbox.received_message import ReceivedMessage


def received(raw: bytes, sender: str = "s@x.example") -> ReceivedMessage:
    """A message with those bytes."""
    return ReceivedMessage(
        id="id", received_at=datetime.now(UTC), helo="h", sender=sender, recipients=("r@x.example",), raw=raw
    )


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?= an =?ISO-8859-1?Q?J=FCrgen?=", "Grüße an Jürgen"),
        ("=?utf-8?b?w?= x", "w x"),
        ("=?utf-8?q?=C3?=\r\n =?utf-8?q?=BC?=", "ü"),
        ("=?utf-8*en?q?caf=C3=A9?=", "café"),
        ("=?no-such-charset?q?caf=C3=A9?=", "café"),
        ("=?utf-7?q?+2AA-?=", "?"),
        ("=?utf-8?b?!?=", ""),
        ("folded\r\n value", "folded value"),
        ("gr\udcc3\udcbcn", "grün"),
    ],
)
def test_header_values_are_decoded_as_far_as_they_go(value: str, read: str) -> None:
    """Encoded words, raw UTF-8 and broken encodings are decoded as far as possible."""
    assert decode_header(value) == read


def test_the_name_of_a_sender_is_decoded_after_parsing() -> None:
    """A comma inside an encoded word does not split the address."""
    assert parse_mailbox("=?utf-8?q?M=C3=BCller=2C_Zo=C3=AB?= <zoe@x.example>") == ("Müller, Zoë", "zoe@x.example")


MIXED = b"""Subject: s\r
Content-Type: multipart/mixed; boundary=m\r
\r
--m\r
Content-Type: text/plain; charset=latin-1\r
\r
f\xfcnf\r
--m\r
Content-Type: text/plain; name="notes.txt"\r
\r
attached by name\r
--m\r
Content-Type: text/html\r
Content-Disposition: attachment\r
\r
<p>attached by disposition</p>\r
--m\r
Content-Type: message/rfc822\r
\r
Subject: inner\r
\r
forwarded\r
--m\r
Content-Type: image/png\r
Content-ID: <logo@x>\r
Content-Transfer-Encoding: base64\r
\r
AAEC\r
--m--\r
"""


def test_bodies_and_attachments_are_told_apart() -> None:
    """A part with a file name or disposition is an attachment; a forwarded mail is one attachment."""
    mail = received(MIXED)

    assert mail.text == "fünf"
    assert mail.html is None
    assert [(a.filename, a.content_type) for a in mail.attachments] == [
        ("notes.txt", "text/plain"),
        ("", "text/html"),
        ("", "message/rfc822"),
        ("", "image/png"),
    ]
    assert mail.attachments[2].content.endswith(b"forwarded")
    assert (mail.attachments[3].content_id, mail.attachments[3].content) == ("logo@x", b"\x00\x01\x02")


def test_a_preview_comes_from_what_is_seen() -> None:
    """A preview leaves out style, title and padding characters, and joins whitespace to one space."""
    html = (
        b"Content-Type: text/html\r\n\r\n<head><title>T</title></head><style>p{}</style></style>"
        b"<p>Hi&nbsp;&zwnj;there,</p>\n<p>you &amp; me</p>"
    )

    assert build_preview(received(html)) == "Hi there, you & me"
    assert build_preview(received(b"\r\nplain\r\n\r\ntext\r\n")) == "plain text"
    assert build_preview(received(b"Content-Type: image/png\r\n\r\n")) == ""


def test_fields_that_crash_the_standard_parser_hide_nothing_else() -> None:
    """A field on which Python 3.11's modern parser raises IndexError hides no other field."""
    typed = received(b"Subject: still here\r\nContent-Type: text/plain;a*\r\n\r\nbody\r\n")
    named = received(b"Subject: still here\r\nContent-Disposition: inline; filename*\r\n\r\nbody\r\n")

    assert typed.subject == named.subject == "still here"
    assert typed.text == named.text == "body\n"


SHARDS = [
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: ;;=\r\n",
    b"Content-Type: text/html; charset=\r\n",
    b"Content-Type: text/plain; name*0*=x'y; name*9=\"\r\n",
    b"Content-Type: text/plain;a*\r\n",
    b"Content-Disposition: attachment; filename*\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Disposition: attachment; filename*=a''%\r\n",
    b"Content-ID: <\r\n",
    b"From: @,<>;:\r\n",
    b"To: =?x?y?z?=\r\n",
    b"Subject: \xc3\x28\r\n",
    b"=?utf-8?q?=?=",
    b"\xff\xfe\x00 ",
    b"--b\r\n",
    b"--b--\r\n",
    b"\r\n",
    b"\n",
]
HOSTILE = st.lists(st.sampled_from(SHARDS) | st.binary(max_size=8), max_size=14).map(b"".join)


@settings(database=None, deadline=None)
@given(HOSTILE)
def test_no_bytes_are_too_broken_to_show(raw: bytes) -> None:
    """Everything that the page and the API read can be read from any bytes."""
    mail = received(raw)

    readings = [
        mail.subject,
        mail.text or "",
        mail.html or "",
        build_preview(mail),
        *parse_mailbox(mail.raw_header("From")),
    ]
    readings += [value for field in mail.headers for value in field]
    readings += [attachment.filename for attachment in mail.attachments]
    assert all(isinstance(reading.encode("utf-8", "strict"), bytes) for reading in readings)
    assert mailhog_json.build_item(mail)["ID"] == "id"


@pytest.mark.parametrize("levels", [60, 1_200])
def test_a_mail_nested_without_end_is_shown_too(levels: int) -> None:
    """A deeply nested mail exhausts the stack neither of the page nor of MailHog's JSON."""
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels))
    mail = received(opening + b"\r\ninnermost\r\n")

    assert "innermost" in (mail.text or "") or mail.attachments
    assert mailhog_json.build_item(mail)["MIME"]["Parts"]


@pytest.mark.parametrize(
    ("raw", "headers", "body"),
    [
        (b"Subject: x\r\n\r\n", {"Subject": ["x"]}, ""),
        (b"\r\nno headers\r\n", {}, "no headers"),
        (b"no blank line\r\n", {}, "no blank line"),
        (b"A: 1\nA: 2\n\nunix\n", {"A": ["1", "2"]}, "unix\n"),
        (b" odd\r\nnonsense\r\nA:1\r\n\r\nx", {"A": ["1"]}, "x"),
    ],
)
def test_the_json_of_odd_mails_keeps_headers_and_body_apart(
    raw: bytes, headers: dict[str, list[str]], body: str
) -> None:
    """Headers and body stay apart with missing blank lines, repeated fields and bare line feeds."""
    content = mailhog_json.build_item(received(raw))["Content"]

    added = {"Received", "Return-Path", "Message-ID"}
    assert {name: values for name, values in content["Headers"].items() if name not in added} == headers
    assert content["Body"] == body


def test_trace_fields_join_those_that_are_there_whatever_their_case() -> None:
    """A second Received field is added to the list under the same name, whatever its case."""
    headers = mailhog_json.build_item(received(b"RECEIVED: first\r\nmessage-id: <1>\r\n\r\nx"))["Content"]["Headers"]

    assert headers["RECEIVED"][0] == "first"
    assert len(headers["RECEIVED"]) == 2
    assert headers["message-id"] == ["<1>"]


def test_a_source_route_becomes_relays() -> None:
    """A source route is split into relays, as in RFC 5321 appendix C."""
    assert mailhog_json.build_path("@a.example,@b.example:ann@c.example") == {
        "Relays": ["@a.example", "@b.example"],
        "Mailbox": "ann",
        "Domain": "c.example",
        "Params": "",
    }
