"""What a caller may attach: names, base64, sizes and content ids."""

import hashlib
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from support.attachment_files import EXE, FILES, PDF, PNG, build_attachment

from notifier.mail import attachment_parts as wire
from notifier.mail.mail_parts import MailAttachment
from notifier.submission import attachment_validation as module
from notifier.submission.attachment_validation import (
    ATTACHMENT_REJECTED,
    MAX_ATTACHMENTS,
    MAX_TOTAL_BYTES,
    check_attachments,
)

SEARCH = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def pointers(*attachments: dict[str, Any]) -> list[str]:
    """Return the JSON pointers of the problems."""
    good, faults = check_attachments(attachments)
    assert {fault.code for fault in faults} <= {ATTACHMENT_REJECTED}
    assert len(good) == len(attachments) - len({fault.pointer.split("/")[2] for fault in faults})
    return [fault.pointer for fault in faults]


def detail(*attachments: dict[str, Any]) -> str:
    """Return the detail of the only problem."""
    (fault,) = check_attachments(attachments)[1]
    return fault.detail


def test_nothing_attached_is_nothing_wrong() -> None:
    """A request without attachments is valid."""
    assert check_attachments([]) == ([], [])


def test_a_file_comes_out_as_it_went_in() -> None:
    """Bytes, name and type are kept, and the hash is over the bytes."""
    (attachment,), faults = check_attachments([build_attachment("Grüße, Ada.pdf")])
    assert faults == []
    assert (attachment.filename, attachment.content_type, attachment.content_id, attachment.data) == (
        "Grüße, Ada.pdf",
        "application/pdf",
        None,
        PDF,
    )
    assert attachment.sha256 == hashlib.sha256(PDF).digest()


@SEARCH
@for_all(st.binary(min_size=1, max_size=400))
def test_any_bytes_survive_base64(data: bytes) -> None:
    """Base64 from the standard library is decoded to the same bytes."""
    assert module.decode_base64(build_attachment(data=data)["content"]) == (data, None)


def test_long_base64_is_decoded_in_pieces() -> None:
    """Padding is allowed at the end of the data and not at the end of a piece."""
    data = PDF + b"\x00" * (2 * module._CHUNK_CHARACTERS)
    long = build_attachment(data=data)
    assert check_attachments([long])[0][0].data == data
    cut = module._CHUNK_CHARACTERS
    assert pointers({**long, "content": long["content"][: cut - 2] + "==" + long["content"][cut:]}) == [
        "/attachments/0/content"
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "QQ",
        "QQ=",
        "QQ===",
        "=QQ=",
        "QQ==QQ==",
        "Q Q=",
        "QQ==\n",
        "QUJD\r\nQUJD",
        "Q-_=",
        "QUJD----",
        "QUJD\n\n\n\n",
        "data:text/plain;base64,QQ==",
        "é===",
        "\ud800QQ=",
    ],
)
def test_what_is_not_base64_is_refused(content: str) -> None:
    """White space, another alphabet, wrong padding, trailing data and an empty file are refused."""
    assert pointers({**build_attachment(), "content": content}) == ["/attachments/0/content"]


def test_ten_mebibytes_together_are_the_limit() -> None:
    """The limit counts decoded bytes of all attachments, and one more is refused before decoding."""
    half = MAX_TOTAL_BYTES // 2
    fits = [build_attachment(data=PDF.ljust(half)), build_attachment(data=PDF.ljust(half))]
    assert check_attachments(fits)[1] == []
    for more in ("QQ==", "QUI=", "QUJD", "QUJ"):
        faults = check_attachments([*fits, {**build_attachment(), "content": more}])[1]
        assert [fault.pointer for fault in faults] == (
            ["/attachments"] if more != "QUJ" else ["/attachments/2/content"]
        )


def test_twenty_files_are_the_limit() -> None:
    """A request with twenty-one attachments is refused."""
    assert pointers(*[build_attachment()] * MAX_ATTACHMENTS) == []
    good, faults = check_attachments([build_attachment()] * (MAX_ATTACHMENTS + 1), "/notifications/3/attachments")
    assert (good, [fault.pointer for fault in faults]) == ([], ["/notifications/3/attachments"])


@pytest.mark.parametrize(
    "name",
    [
        "a.pdf",
        "A.PDF",
        ".pdf",
        "a b (1), c & d's.pdf",
        "Rechnung №7.pdf",
        "חשבונית.pdf",
        "فاتورة.pdf",
        "👩‍👩‍👧.pdf",
        "shop.example.com.pdf",
        "Smith vs. Run.pdf",
        "x" * 196 + ".pdf",
        "%41.pdf",
    ],
)
def test_names_of_any_script_may_stand(name: str) -> None:
    """File names in any script are accepted."""
    assert pointers(build_attachment(name)) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x" * 197 + ".pdf",
        "../../x.pdf",
        "/x.pdf",
        "..\\x.pdf",
        "C:x.pdf",
        "a\r\nBcc: e@x.org.pdf",
        "a\x00.pdf",
        "a\t.pdf",
        "a\x85.pdf",
        "a\u2028.pdf",
        "\ud800.pdf",
        'a".pdf',
        "a?.pdf",
        "a*.pdf",
        "<a>.pdf",
        "a|b.pdf",
        " a.pdf",
        "a.pdf ",
        "a.pdf.",
        "a\u202efdp.pdf",
        "a\u2066.pdf",
        "con.pdf",
        "NUL.x.pdf",
        "Lpt1 .pdf",
        ".",
        "..",
        "pdf",
        "a",
    ],
)
def test_names_that_mean_something_to_a_system_are_refused(name: str) -> None:
    """Paths, devices, control characters, quotes, direction marks and missing extensions are refused."""
    assert pointers(build_attachment(name)) == ["/attachments/0/filename"]


@pytest.mark.parametrize(
    "name", ["a.exe", "a.pdf.exe", "a.exe.pdf", "a.JS.pdf", "a.com", "a.pdf.com", "a.svg", "a.docm", "a.exe .pdf"]
)
def test_programs_are_refused_by_their_names(name: str) -> None:
    """A program's extension is refused whatever the type, also when another extension follows or precedes it."""
    assert "is the extension of a program" in detail(build_attachment(name))


@pytest.mark.parametrize("name", ["a.txt", "a.pdf.txt", "a.odt", "a.pdfx"])
def test_the_extension_is_that_of_the_type(name: str) -> None:
    """An extension that does not match the type is refused, and the error lists the possible ones."""
    assert detail(build_attachment(name)) == "the extension must be one of its content type: .pdf"


@pytest.mark.parametrize("content_id", ["logo", "a-b_c.1", "logo@shop.example", "x" * 64])
def test_an_image_may_have_a_content_id(content_id: str) -> None:
    """An image can have a content id, so that the HTML can show it."""
    (attachment,), faults = check_attachments([build_attachment("a.png", "image/png", content_id=content_id)])
    assert (attachment.content_id, faults) == (content_id, [])


@pytest.mark.parametrize("content_id", ["", "<logo>", "a b", "a\r\nb", "é", "x" * 65, "a@b@c", "@b", "a@", "logo\n"])
def test_a_content_id_that_could_not_stand_is_refused(content_id: str) -> None:
    """An empty, overlong or malformed content id is refused."""
    assert pointers(build_attachment("a.png", "image/png", content_id=content_id)) == ["/attachments/0/content_id"]


def test_a_content_id_is_for_one_image() -> None:
    """Two images with the same content id are both reported, and only images may have one."""
    image = build_attachment("a.png", "image/png", content_id="a")
    other = build_attachment("b.png", "image/png", content_id="b")
    assert pointers(image, other, image) == ["/attachments/0/content_id", "/attachments/2/content_id"]
    assert pointers(build_attachment(content_id="a")) == ["/attachments/0/content_id"]
    assert pointers(build_attachment(), build_attachment()) == []


def test_a_key_that_is_missing_is_no_content_id() -> None:
    """The content id is optional."""
    attachment = build_attachment("a.png", "image/png")
    del attachment["content_id"]
    assert pointers(attachment) == []


def test_all_problems_are_told_at_once() -> None:
    """Each wrong field is reported by its pointer, and the valid attachments are returned."""
    bad = {"filename": "a\r\n", "content": "?", "content_type": "a/b", "content_id": "<a>"}
    good, faults = check_attachments(
        [build_attachment(), bad, build_attachment("b.pdf", data=PNG), build_attachment("c.pdf", data=EXE)]
    )
    assert [attachment.filename for attachment in good] == ["a.pdf"]
    assert [fault.pointer for fault in faults] == [
        "/attachments/1/filename",
        "/attachments/1/content",
        "/attachments/1/content_type",
        "/attachments/1/content_id",
        "/attachments/2/content_type",
        "/attachments/3/content_type",
    ]
    assert all(fault.detail for fault in faults)


@pytest.mark.parametrize("content_type", FILES)
def test_what_is_in_order_can_be_written(content_type: str) -> None:
    """Names, types and content ids that are valid here can be written into a MIME header."""
    name, _ = FILES[content_type]
    content_id = "logo@x.org" if content_type.startswith("image/") else None
    (checked,), _ = check_attachments([build_attachment(name, content_type, content_id=content_id)])
    attachment = MailAttachment(
        filename=checked.filename, content_type=checked.content_type, content_id=checked.content_id, data=checked.data
    )
    assert checked.content_type.encode() in wire.write_attachment_header(attachment, inline=content_id is not None)
