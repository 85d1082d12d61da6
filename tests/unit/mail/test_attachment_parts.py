"""Mails with attachments and images, with the standard library's parser as the oracle."""

import re
from base64 import encodebytes
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.mail import header_fields
from notifier.mail.attachment_parts import ENCODED_PIECE_BYTES, fill_attachments
from notifier.mail.header_fields import HeaderValueError
from notifier.mail.mail_parts import MailAttachment, Mailbox, MailHeader, MailParts, RenderedMail
from notifier.mail.mime_document import build_mime_with_gaps

SEARCH = settings(max_examples=80, deadline=None, derandomize=True, database=None)
HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=datetime(2026, 3, 9, 8, 7, 6, tzinfo=UTC),
    sender=Mailbox("shop@shop.example", "Thé Shop"),
    recipient="ada@example.com",
)
HTML = "<p>Hello <img src='cid:logo'></p>\n"
SAID = MailParts(subject="Hi", html=HTML, text="Hello\n")
SHOWABLE = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
NAMES = st.text(SHOWABLE, min_size=1, max_size=200) | st.sampled_from(
    [
        *('a"b.pdf', "a\\b.pdf", '"', "'", "a'b''c.pdf", ".hidden", "..", " a ", "a  b.pdf", "a;b=c.pdf", "a%41.pdf"),
        *("=?utf-8?q?x?=.pdf", "utf-8''a.pdf", "x" * 200, "é" * 200, "\U0001f600" * 200, "a" * 59 + " b", "a" * 61),
        *("חשבונית.pdf", "👩‍👩‍👧.pdf", "a\u202efdp.exe", "--=_a", "\u00a0a"),
    ]
)
TYPES = st.sampled_from(["application/pdf", "text/plain; charset=utf-8", "image/png", "text/calendar; method=REQUEST"])
FILES = st.builds(
    MailAttachment,
    filename=NAMES,
    content_type=TYPES,
    content_id=st.none() | st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True),
    data=st.binary(max_size=300),
)


def attached(
    filename: str = "a.pdf", content_id: str | None = None, data: bytes = b"a", **others: Any
) -> MailAttachment:
    """Build an attachment."""
    content_type = others.get("content_type", "image/png" if content_id else "application/pdf")
    return MailAttachment(filename=filename, content_type=content_type, content_id=content_id, data=data)


def mail(*attachments: MailAttachment, parts: MailParts = SAID) -> RenderedMail:
    """Build a mail with these attachments."""
    return fill_attachments(build_mime_with_gaps(HEADER, parts, attachments), attachments)


def parsed(wire: bytes) -> EmailMessage:
    """The mail as the standard library reads it."""
    return message_from_bytes(wire, policy=default)


def tree(part: Any) -> Any:
    """The nested content types of a mail's parts."""
    if not part.is_multipart():
        return part.get_content_type()
    return [part.get_content_subtype(), *(tree(inner) for inner in part.iter_parts())]


def read(part: Any) -> tuple[str, str, str, str | None, bytes]:
    """Name, type, disposition, content id and bytes of an attachment, as a client reads them."""
    disposition = part["Content-Disposition"]
    content_id = part["Content-ID"]
    name = disposition.params["filename"]
    data = part.get_payload(decode=True)
    return disposition.content_disposition, name, str(part["Content-Type"]), content_id and str(content_id), data


def leaves(wire: bytes) -> list[Any]:
    """The attachment parts of the mail."""
    return [part for part in parsed(wire).walk() if part["Content-Disposition"]]


@SEARCH
@given(st.lists(FILES, min_size=1, max_size=4), st.booleans())
def test_attachments_arrive_identical(files: list[MailAttachment], with_html: bool) -> None:  # noqa: FBT001
    """A second parser reads back names, types, content ids and bytes, images first."""
    wire = mail(*files, parts=SAID if with_html else MailParts(subject="Hi", html=None, text="Hello\n")).wire
    images = [file for file in files if with_html and file.content_id is not None]
    expected = [
        (
            "inline" if file in images else "attachment",
            file.filename,
            file.content_type.replace("charset=utf-8", 'charset="utf-8"').replace("REQUEST", '"REQUEST"'),
            file.content_id and f"<{file.content_id}>",
            file.data,
        )
        for file in [*images, *(file for file in files if file not in images)]
    ]
    assert [read(part) for part in leaves(wire)] == expected
    assert not any(part.defects for part in parsed(wire).walk())


@SEARCH
@given(st.lists(FILES, min_size=1, max_size=3))
def test_a_mail_with_attachments_is_safe_on_a_7_bit_path(files: list[MailAttachment]) -> None:
    """ASCII only, lines of at most 78 characters that end with CRLF, and the same bytes each time."""
    rendered = mail(*files)
    assert rendered == mail(*files)
    assert rendered.wire.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", rendered.wire)
    assert max(map(len, rendered.wire.split(b"\r\n"))) <= 78


@SEARCH
@given(NAMES)
def test_every_line_of_a_name_can_be_decoded_alone(name: str) -> None:
    """Clients that decode each line before joining them read the right name (RFC 2231 §4.1)."""
    for piece in header_fields.write_mime_parameter("filename", name):
        escaped = piece.partition(b"=")[2].removeprefix(b"utf-8''")
        octets = re.sub(rb"%([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), escaped)
        assert octets.decode()


@pytest.mark.parametrize(
    ("files", "parts", "expected"),
    [
        ([attached()], SAID, ["mixed", ["alternative", "text/plain", "text/html"], "application/pdf"]),
        (
            [attached(content_id="logo")],
            SAID,
            ["alternative", "text/plain", ["related", "text/html", "image/png"]],
        ),
        (
            [attached(), attached(content_id="logo"), attached("b.pdf")],
            SAID,
            [
                "mixed",
                ["alternative", "text/plain", ["related", "text/html", "image/png"]],
                "application/pdf",
                "application/pdf",
            ],
        ),
        (
            [attached(content_id="logo")],
            MailParts(subject="Hi", html=None, text="Hello"),
            ["mixed", "text/plain", "image/png"],
        ),
    ],
)
def test_images_belong_to_the_html_and_files_to_the_mail(
    files: list[MailAttachment], parts: MailParts, expected: Any
) -> None:
    """Inline images are related to the HTML part; without HTML they are ordinary files."""
    assert tree(parsed(mail(*files, parts=parts).wire)) == expected


def test_related_parts_name_the_type_of_their_root() -> None:
    """A related part has the `type` parameter (RFC 2387 §3.1), which Outlook needs."""
    (related,) = (
        part for part in parsed(mail(attached(content_id="a")).wire).walk() if part.get_content_subtype() == "related"
    )
    assert related.get_param("type") == "text/html"


def test_an_ordinary_name_is_readable_and_another_is_rfc_2231() -> None:
    """A name is written in one form only and never as an encoded word, so all parsers agree."""
    (ordinary,) = header_fields.write_mime_parameter("filename", "Report (1).pdf")
    assert ordinary == b'filename="Report (1).pdf"'
    assert header_fields.write_mime_parameter("filename", 'a"é.pdf') == [b"filename*=utf-8''a%22%C3%A9.pdf"]
    long = header_fields.write_mime_parameter("filename", "é" * 18)
    assert [piece.partition(b"=")[0] for piece in long] == [b"filename*0*", b"filename*1*"]
    assert b"=?" not in mail(attached("é" * 100)).wire.partition(b"Content-Disposition")[2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"filename": "a\r\nX: y"},
        {"filename": "a\x00"},
        {"filename": "\ud800"},
        {"content_type": "text/plain\r\nX: y"},
        {"content_type": "pdf"},
        {"content_id": "a>\r\nX: y"},
        {"content_id": ""},
        {"content_id": "a b"},
    ],
)
def test_what_could_end_a_field_is_refused(wrong: dict[str, Any]) -> None:
    """Values that could end a field are refused by the writer, too."""
    with pytest.raises(HeaderValueError):
        mail(attached(**wrong))


@SEARCH
@given(st.lists(FILES, max_size=3))
def test_no_boundary_stands_where_it_does_not_separate(files: list[MailAttachment]) -> None:
    """Each boundary appears only where it is declared and separates parts; none is a prefix of another."""
    image = attached(content_id="logo")
    wire = mail(image, attached(), *files).wire
    several = [part for part in parsed(wire).walk() if part.is_multipart()]
    boundaries = {str(part.get_param("boundary")): len(part.get_payload()) for part in several}
    assert len(boundaries) == 3
    for boundary, parts in boundaries.items():
        assert wire.count(boundary.encode()) == parts + 2
        assert wire.count(f"\r\n--{boundary}\r\n".encode()) == parts


def test_content_that_names_the_boundary_changes_it() -> None:
    """Content and names that contain the mail's boundaries do not end its parts."""
    wire = mail(attached(), attached(content_id="logo")).wire
    boundaries = re.findall(rb'boundary="([^"]+)"', wire)
    lines = "\n".join(f"--{boundary.decode()}\n--{boundary.decode()}--" for boundary in boundaries)
    quoting = MailParts(subject="Hi", html=f"<pre>\n{lines}\n</pre>\n", text=f"{lines}\n")
    again = mail(attached(f"--{boundaries[0].decode()}"), attached(content_id="logo"), parts=quoting).wire
    texts = [
        part.get_content().replace("\r\n", "\n")
        for part in parsed(again).walk()
        if part.get_content_maintype() == "text"
    ]
    assert texts == [quoting.text, quoting.html]
    assert len(leaves(again)) == 2


@pytest.mark.parametrize(
    "length",
    [
        0,
        1,
        56,
        57,
        58,
        ENCODED_PIECE_BYTES - 1,
        ENCODED_PIECE_BYTES,
        ENCODED_PIECE_BYTES + 1,
        2 * ENCODED_PIECE_BYTES + 100,
    ],
)
def test_large_files_have_the_lines_of_the_standard_library(length: int) -> None:
    """Base64 in several chunks has the same lines as the standard library's."""
    data = bytes(range(256)) * (length // 256 + 1)
    wire = mail(attached(data=data[:length])).wire
    body = wire.rpartition(b'filename="a.pdf"\r\n\r\n')[2].rpartition(b"\r\n--=_")[0]
    assert body == encodebytes(data[:length]).replace(b"\n", b"\r\n")


def test_the_hash_is_that_of_the_bytes() -> None:
    """The hash of a mail is that of its bytes, so another file gives another hash."""
    first, other = mail(attached(data=b"a")), mail(attached(data=b"b"))
    assert first.sha256 != other.sha256
    assert msgspec.structs.replace(first, wire=other.wire, sha256=other.sha256) == other
