"""Mails with content of their own, Cc, and golden bytes."""

import hashlib
import json
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from notifier.mail import header_fields
from notifier.mail.mail_parts import MailAttachment, Mailbox, MailHeader, MailWithGaps, RenderedMail, RenderedParts
from notifier.mail.mime_document import build_mime_message
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import (
    PreviewAnswer,
    PreviewRequest,
    RenderBatchAnswer,
    RenderBatchRequest,
    RenderJob,
    SkippedMail,
)
from notifier.template_language.template_source import RenderFault

SEARCH = settings(max_examples=80, deadline=None, derandomize=True, database=None)
HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=datetime(2026, 3, 9, 8, 7, 6, tzinfo=UTC),
    sender=Mailbox("shop@shop.example", "Thé Shop"),
    recipient="ada@example.com",
    reply_to=Mailbox("help@shop.example", "Help, please"),
    extra={"X-Order": "№ 7", "List-Unsubscribe": "<https://shop.example/leave?" + "t" * 90 + ">"},
)
LINES = st.lists(st.text(st.characters(exclude_characters="\x00\r\n", codec="utf-8"), max_size=90), max_size=6).map(
    "\n".join
)


def job(content: str | None = None, header: MailHeader = HEADER, attachments: Any = (), **fields: Any) -> RenderJob:
    """Build a job with content of its own."""
    written = json.dumps({"subject": "Hi", **fields}) if content is None else content
    return RenderJob(
        version=None, locale=None, variables="{}", header=header, content=written, attachments=list(attachments)
    )


def answered(render_job: RenderJob) -> RenderedMail | MailWithGaps | RenderFault:
    """The child's result for the job."""
    answer = RenderingChild().answer_request(RenderBatchRequest(jobs=[render_job], sources={}))
    assert isinstance(answer, RenderBatchAnswer)
    assert not isinstance(answer.results[0], SkippedMail)
    return answer.results[0]


def message(render_job: RenderJob) -> Any:
    """The mail as the standard library reads it."""
    result = answered(render_job)
    assert isinstance(result, RenderedMail), result
    return message_from_bytes(result.wire, policy=default)


def texts(render_job: RenderJob) -> list[str]:
    """The parts of the mail, with normalised line ends."""
    return [part.get_content().replace("\r\n", "\n") for part in message(render_job).walk() if not part.is_multipart()]


@SEARCH
@given(LINES, LINES)
def test_content_leaves_as_it_is(html: str, text: str) -> None:
    """Braces and styles in content are not interpreted."""
    html += "{{ 1 / 0 }}<style>p{color:red}</style><p>{% for %}</p>"
    assert texts(job(html=html, text=text)) == [text.removesuffix("\n") + "\n", html + "\n"]


def test_a_text_that_is_missing_is_made_from_the_html() -> None:
    """A missing text part is generated from the HTML."""
    text, html = texts(job(html="<h1>Hello</h1><a href='https://x.example'>there</a>"))
    assert text.split() == ["Hello", "there", "<https://x.example>"]
    assert html.startswith("<h1>")


def test_without_html_the_mail_is_one_text() -> None:
    """Text alone makes a mail without multipart."""
    read = message(job(text="Grüße"))
    assert read.get_content_type() == "text/plain"
    assert read.get_content() == "Grüße\r\n"
    assert read["MIME-Version"] == "1.0"


@SEARCH
@given(LINES)
def test_a_text_alone_arrives_identical(text: str) -> None:
    """Text is read back unchanged in any encoding, with short lines."""
    render_job = job(text=text)
    assert texts(render_job) == [text.removesuffix("\n") + "\n"]
    result = answered(render_job)
    assert isinstance(result, RenderedMail)
    assert result.wire.isascii()
    body = result.wire.partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) <= 78


@pytest.mark.parametrize("character", ["\r", "\n", "\x00", "\x85", "\u2028", "\x1b", "\x7f"])
def test_a_subject_that_could_end_its_field_is_a_fault(character: str) -> None:
    """An invalid subject is a fault with a reason, not an exception."""
    result = answered(job(subject=f"Hi{character}Bcc: e@x.org", text="a"))
    assert isinstance(result, RenderFault)
    assert f"U+{ord(character):04X}" in result.message


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"subject": 1, "text": "a"}',
        '{"subject": "\\ud800", "text": "a"}',
        '{"subject": "a"}',
        '{"subject": "a", "html": null, "text": null}',
        '{"subject": "a", "text": "\\u0000"}',
    ],
)
def test_content_that_is_none_is_a_fault(content: str) -> None:
    """A damaged row is a fault of its own mail only."""
    assert isinstance(answered(job(content)), RenderFault)


def test_content_that_says_nothing_is_a_fault_in_words() -> None:
    """The fault of empty content says what is missing."""
    fault = RenderFault(part="content", line=None, message="there is neither HTML nor text")
    assert answered(job('{"subject": "a"}')) == fault


def test_a_job_without_version_and_content_is_a_fault() -> None:
    """A job with neither version nor content is a fault."""
    assert isinstance(answered(RenderJob(version=None, locale=None, variables="{}", header=HEADER)), RenderFault)


def test_a_mail_with_attachments_has_gaps_for_them() -> None:
    """The child leaves gaps for attachments and does not need their bytes."""
    file = MailAttachment(filename="a.pdf", content_type="application/pdf", content_id=None, data=b"")
    image = MailAttachment(filename="a.png", content_type="image/png", content_id="a", data=b"")
    result = answered(job(html="<p>", attachments=[file, image]))
    assert isinstance(result, MailWithGaps)
    assert [piece for piece in result.pieces if isinstance(piece, int)] == [1, 0]


def test_a_mail_is_shown_in_parts_and_as_a_whole() -> None:
    """The preview has the same bytes as the mail."""
    render_job = job(html="<p>Hello</p>")
    preview = RenderingChild().answer_request(PreviewRequest(job=render_job, sources={}))
    assert isinstance(preview, PreviewAnswer)
    assert (preview.parts.subject, preview.parts.html, preview.parts.text) == ("Hi", "<p>Hello</p>", "Hello\n")
    assert preview.mail == answered(render_job)
    assert isinstance(RenderingChild().answer_request(PreviewRequest(job=job("{}"), sources={})), RenderFault)


def test_copies_are_named_in_the_header() -> None:
    """Cc is one field, and To is unchanged."""
    header = replace(HEADER, cc=["a@b.org", "c@d.org"])
    read = message(job(text="a", header=header))
    assert [address.addr_spec for address in read["Cc"].addresses] == ["a@b.org", "c@d.org"]
    assert str(read["To"]) == "ada@example.com"
    assert len(read.get_all("Cc")) == 1
    assert "Cc" not in message(job(text="a"))


@SEARCH
@given(st.lists(st.from_regex(r"[a-z]{1,60}@[a-z]{1,60}\.org", fullmatch=True), min_size=1, max_size=50))
def test_many_addresses_are_folded_after_commas(listed: list[str]) -> None:
    """Cc is folded after commas, and a second parser reads all addresses."""
    raw = header_fields.write_address_list_header("Cc", listed)
    assert [box.addr_spec for box in message_from_bytes(raw + b"\r\n", policy=default)["Cc"].addresses] == listed
    lines = raw.removesuffix(b"\r\n").split(b"\r\n")
    assert all(len(line) <= 76 or line.count(b"@") == 1 for line in lines)
    assert [line.endswith(b",") for line in lines] == [True] * (len(lines) - 1) + [False]


@pytest.mark.parametrize("wrong", ["a@b.org\r\nBcc: e@x.org", "a@b.org\x00"])
def test_an_address_that_could_end_its_field_is_a_fault(wrong: str) -> None:
    """An address with a line break is a fault."""
    with pytest.raises(header_fields.HeaderValueError):
        header_fields.write_address_list_header("Cc", ["c@d.org", wrong])


@pytest.mark.parametrize(
    ("html", "text", "sha256"),
    [
        ("<p>Hello</p>", "Hello", "310889b70d49b2c86d6c7c3c7b875b83dae1ffd0fb435553d4aa192957520f2f"),
        (
            "<p>Grüße_ " + "x" * 100 + "</p>\n",
            "Grüße\r\n.\n",
            "240ab062a5d5906bfb8809920ca33a41997c3e7944047fa2f54aaf4413ddfa7d",
        ),
        ("<pre>--=_</pre>", "\u4f60\u597d" * 40, "8b2eba326eb1eb83e40f46fa4e93a3fe63f677380dceaf6340657288f5dd14a7"),
    ],
)
def test_the_bytes_of_a_mail_never_change(html: str, text: str, sha256: str) -> None:
    """The bytes equal those of an earlier release, so that a retry after an upgrade sends the same mail."""
    wire = build_mime_message(HEADER, RenderedParts(subject="Ünïcode", html=html, text=text)).wire
    assert hashlib.sha256(wire).hexdigest() == sha256
    assert re.search(rb"multipart/alternative", wire)
