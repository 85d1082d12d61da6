"""The MIME writer, with the standard library's parser as the oracle."""

import base64
import hashlib
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.mail.header_fields import HeaderValueError
from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedParts
from notifier.mail.mime_document import NulInPartError, build_mime_message

SEARCH = settings(max_examples=80, deadline=None, derandomize=True, database=None)
MOMENT = datetime(2026, 3, 9, 8, 7, 6, tzinfo=UTC)
HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=MOMENT,
    sender=Mailbox("shop@shop.example", "Thé Shop"),
    recipient="ada@example.com",
    reply_to=Mailbox("help@shop.example", "Help, please"),
    extra={"X-Order": "№ 7", "List-Unsubscribe": "<https://shop.example/leave?" + "t" * 90 + ">"},
)

ANYTHING = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=60)
AWKWARD = st.sampled_from(
    [
        *(
            ".",
            "..",
            ".a",
            "From a",
            ">From a",
            "",
            " ",
            "a ",
            "a\t",
            "\t",
            "=",
            "=3D",
            "--",
            "x" * 78,
            "x" * 79,
            "é" * 40,
        ),
        *("x" * 1200, "é" * 600, "\u4e2d" * 400, "a b " * 300, "\U0001f600", "\x0b", "\x0c", "\x1a", "\x85", "\u2028"),
    ]
)
BODY = st.lists(AWKWARD | ANYTHING, max_size=8).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines))
)


def mail(text: str = "Hello", html: str = "<p>Hello</p>", subject: str = "Hi") -> bytes:
    """Build the bytes of a mail with these parts."""
    return build_mime_message(HEADER, RenderedParts(subject=subject, html=html, text=text)).wire


def parsed(wire: bytes) -> EmailMessage:
    """The mail as the standard library reads it."""
    return message_from_bytes(wire, policy=default)


def contents(wire: bytes) -> list[str]:
    """The texts of the parts, with normalised line ends."""
    return [part.get_content().replace("\r\n", "\n") for part in parsed(wire).iter_parts()]


def canonical(text: str) -> str:
    """The text with normalised line ends and exactly one at the end."""
    return re.sub("\r\n|\r", "\n", text.removesuffix("\n")) + "\n"


@SEARCH
@given(BODY, BODY)
def test_both_parts_arrive_identical(text: str, html: str) -> None:
    """A second parser reads back both parts, apart from line ends."""
    assert contents(mail(text, html)) == [canonical(text), canonical(html)]


@SEARCH
@given(BODY, BODY)
def test_a_mail_is_safe_on_a_7_bit_path(text: str, html: str) -> None:
    """ASCII only, CRLF at each line end, and no line over SMTP's maximum."""
    wire = mail(text, html)
    assert wire.isascii()
    assert b"\x00" not in wire
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", wire)
    assert wire.endswith(b"--\r\n")
    body = wire.partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) <= 78


@SEARCH
@given(BODY)
def test_the_same_mail_has_the_same_bytes(text: str) -> None:
    """Building twice gives equal bytes, boundary included, and their SHA-256."""
    parts = RenderedParts(subject="Hi", html="<p>Hello</p>", text=text)
    first, second = build_mime_message(HEADER, parts), build_mime_message(HEADER, parts)
    assert first == second
    assert first.sha256 == hashlib.sha256(first.wire).digest()


def test_another_mail_has_another_boundary() -> None:
    """The boundary is derived from the parts, so it is not in them by accident."""
    first, other = (parsed(mail(text)).get_boundary() for text in ("a", "b"))
    assert first != other
    assert contents(mail(f"--{first}\n--{first}--")) == [f"--{first}\n--{first}--\n", "<p>Hello</p>\n"]


def test_a_boundary_in_html_that_is_literal_does_not_end_it() -> None:
    """If the HTML contains the boundary, the mail gets another one."""
    boundary = parsed(mail(html="<p>_</p>")).get_boundary()
    assert boundary != parsed(mail(html="<p>__</p>")).get_boundary()
    html = f"<pre>\n--{boundary}\n--{boundary}--\n</pre>\n"
    message = parsed(mail(html=html))
    assert list(message.iter_parts())[1]["Content-Transfer-Encoding"] == "7bit"
    assert contents(mail(html=html)) == ["Hello\n", html]


@SEARCH
@given(BODY, BODY)
def test_the_boundary_stands_in_the_mail_as_often_as_it_separates(text: str, html: str) -> None:
    """The boundary is declared once and appears before, between and after the two parts."""
    wire = mail(text, html)
    assert wire.count((parsed(wire).get_boundary() or "").encode()) == 4


def test_two_mails_that_say_the_same_have_boundaries_of_their_own() -> None:
    """Mails with equal parts have different boundaries, so one can be attached to the other."""
    parts = RenderedParts(subject="Hi", html="é", text="é")
    other = msgspec.structs.replace(HEADER, message_id="<2@shop.example>")
    boundaries = {parsed(build_mime_message(header, parts).wire).get_boundary() for header in (HEADER, other)}
    assert len(boundaries) == 2


@pytest.mark.parametrize(
    "length", [*range(2, 120), *(57 * lines + more for lines in (48, 1024, 2048, 2100) for more in range(-4, 2)), 9913]
)
def test_base64_has_the_lines_of_the_standard_library(length: int) -> None:
    """For any length the lines equal those of the standard library (RFC 2045 §6.8)."""
    html = "é" * (length // 2) + "x" * (length % 2)
    part = mail(html=html).rpartition(b"base64\r\n\r\n")[2].rpartition(b"\r\n--=_")[0]
    assert part == base64.encodebytes(f"{html}\r\n".encode()).replace(b"\n", b"\r\n")


def test_the_header_says_what_it_was_given() -> None:
    """Each field appears once with the notification's value."""
    message = parsed(mail(subject="Ünïcode"))
    assert message.keys() == [
        "Date", "From", "To", "Reply-To", "Subject", "Message-ID", "Auto-Submitted", "X-Order", "List-Unsubscribe",
        "MIME-Version", "Content-Type",
    ]  # fmt: skip
    assert message["Date"].datetime == MOMENT
    assert str(message["From"]) == "Thé Shop <shop@shop.example>"
    assert str(message["To"]) == "ada@example.com"
    assert str(message["Reply-To"]) == '"Help, please" <help@shop.example>'
    assert str(message["Subject"]) == "Ünïcode"
    assert str(message["Message-ID"]) == "<1@shop.example>"
    assert str(message["X-Order"]) == "№ 7"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"


def test_a_list_header_is_never_encoded() -> None:
    """A link over 78 characters is neither folded nor encoded."""
    assert b" <https://shop.example/leave?" + b"t" * 90 + b">\r\n" in mail()


def test_the_last_part_is_the_html() -> None:
    """Clients show the last alternative that they understand (RFC 2046 §5.1.4)."""
    kinds = [(part.get_content_type(), part.get_content_charset()) for part in parsed(mail()).iter_parts()]
    assert kinds == [("text/plain", "utf-8"), ("text/html", "utf-8")]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello", "7bit"),
        ("x" * 78, "7bit"),
        ("x" * 79, "quoted-printable"),
        ("Grüße aus Köln, und noch etwas mehr Text", "quoted-printable"),
        ("\u4f60\u597d" * 20, "base64"),
    ],
)
def test_the_encoding_is_the_shortest_that_is_safe(text: str, encoding: str) -> None:
    """ASCII is 7bit, few foreign letters are quoted-printable, many are base64."""
    first = next(parsed(mail(text)).iter_parts())
    assert first["Content-Transfer-Encoding"] == encoding


@pytest.mark.parametrize(("text", "html"), [("a\x00b", "<p>"), ("a", "<p>\x00")])
def test_nul_in_a_part_is_refused(text: str, html: str) -> None:
    """No mail carries a NUL (RFC 5322 §4)."""
    with pytest.raises(NulInPartError, match="contains a NUL"):
        mail(text, html)


@pytest.mark.parametrize("subject", ["a\nBcc: e@x.org", "a\r\nb", "a\x00", "a\u2028b"])
def test_a_subject_that_could_end_its_field_is_refused(subject: str) -> None:
    """A rendered subject is checked like any header value."""
    with pytest.raises(HeaderValueError):
        mail(subject=subject)


def test_a_recipient_that_could_end_its_field_is_refused() -> None:
    """A recipient with a line break is refused."""
    header = MailHeader(message_id="<1@x>", date=MOMENT, sender=Mailbox("a@b.org"), recipient="a@b.org\r\nBcc: e@x.org")
    with pytest.raises(HeaderValueError):
        build_mime_message(header, RenderedParts(subject="Hi", html="<p>", text="x"))


def test_a_custom_header_that_could_end_its_field_is_refused() -> None:
    """A custom header's value cannot add another field."""
    header = MailHeader(
        message_id="<1@x>",
        date=MOMENT,
        sender=Mailbox("a@b.org"),
        recipient="a@b.org",
        extra={"X-A": "1\nBcc: e@x.org"},
    )
    with pytest.raises(HeaderValueError):
        build_mime_message(header, RenderedParts(subject="Hi", html="<p>", text="x"))
