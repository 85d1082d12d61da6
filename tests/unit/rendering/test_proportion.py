"""The size of a mail is proportional to its request, and bounded."""

import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifier.mail.attachment_parts import MAX_MESSAGE_BYTES, fill_attachments, get_filled_size
from notifier.mail.limits import MAX_OUTPUT, TIME_LIMIT, OutputTooLargeError
from notifier.mail.mail_parts import MailAttachment, Mailbox, MailHeader, MailWithGaps, RenderedMail
from notifier.mail.plain_text.text_builder import build_plain_text
from notifier.mail.style_inliner import inline_styles
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import RenderBatchAnswer, RenderBatchRequest, RenderJob
from notifier.template_language import compiled_version
from notifier.template_language.error_description import PartError
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSettings, TemplateSource

BYTES_PER_BYTE = 7
"""Of a mail for each of its request: the HTML in base64, and a text that is at most four times as long."""
BYTES_MORE = 32 * 1024
"""What even the shortest request may become: the least text that every mail may have, and headers."""
HREF = "https://shop.example/" + "x" * 2_000
OPENINGS = [
    "<ul><li>", "<ol start=2000000000><li>", "<ol type=i start=3888><li>", "<blockquote>", "<table><tr><td>", "<pre>",
    "<q>", "<dl><dd>", f"<p><a href={HREF}>", f"<a href='{HREF}'><b>", "<select multiple>", "<center>",
]  # fmt: skip
REPEATED = [
    "a<br>", "<hr>", "<p>a", "<li>a", "<td>a", "<tr><td>a<td>b", "&nbsp;a", "<q>a</q>", "<img alt=a>", "é<br>", "🙂<p>",
    "<blockquote>a</blockquote>", "<option>a", "<a href=//x>a</a>", f"<a href='{HREF}'>a</a>", "&nGt;",
]  # fmt: skip
pieces = st.builds(
    lambda openings, repeated, times: "".join(openings) + "".join(repeated) * times,
    st.lists(st.sampled_from(OPENINGS), max_size=14),
    st.lists(st.sampled_from(REPEATED), min_size=1, max_size=3),
    st.integers(1, 3_000),
)


def header(**extra: str) -> MailHeader:
    """Build a header with these additional fields."""
    moment = datetime(2026, 3, 9, tzinfo=UTC)
    box = Mailbox("shop@shop.example")
    return MailHeader(message_id="<1@shop.example>", date=moment, sender=box, recipient="ada@example.com", extra=extra)


def rendered(content: dict[str, Any], **extra: str) -> RenderedMail | MailWithGaps | RenderFault:
    """The rendered mail of a caller's content."""
    job = RenderJob(version=None, locale=None, variables="{}", header=header(**extra), content=json.dumps(content))
    answer = RenderingChild().answer_request(RenderBatchRequest(jobs=[job], sources={}))
    assert isinstance(answer, RenderBatchAnswer)
    return answer.results[0]


@settings(max_examples=60, deadline=None)
@given(html=pieces, subject=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=900))
@example(html=f"<p><a href={HREF * 5}>" + "<p>w" * 2_500, subject="a")
@example(html="<ol start=2000000000><li>" * 10 + "a<br>" * 4_000, subject="é")
@example(html="<blockquote>" * 10 + "<hr>" * 4_000, subject="🙂" * 900)
def test_a_mail_grows_no_faster_than_its_request(html: str, subject: str) -> None:
    """The mail is proportional to its content, with or without generated text, or is refused."""
    for content in ({"subject": subject, "html": html}, {"subject": subject, "html": html, "text": html}):
        request_bytes = len(json.dumps(content, ensure_ascii=False).encode()) + 2 * len(subject)
        mail = rendered(content, **{"X-Note": subject, "X-Other": subject})
        if isinstance(mail, RenderedMail):
            assert len(mail.wire) <= BYTES_PER_BYTE * request_bytes + BYTES_MORE
        else:
            assert isinstance(mail, RenderFault)
            assert (mail.part, mail.code) == ("content", FaultCode.TOO_LARGE)
            assert "several times as long as the HTML" in mail.message


@pytest.mark.parametrize("size", [1_000, 20_000, 100_000])
def test_a_long_address_is_not_copied_into_each_paragraph(size: int) -> None:
    """A link that the parser reopens in each block does not multiply its address."""
    html = f"<p><a href=https://shop.example/{'x' * size}>" + "<p>w" * (size // 4)
    try:
        text = build_plain_text(html)
    except OutputTooLargeError:
        return
    assert text.count("w") == size // 4
    assert len(text) < 4 * len(html) + 20_000


STYLES = {
    "one rule for all": ("<style>p { " + "".join(f"--a{n}: {'b' * 90}; " for n in range(100)) + "}</style>", "<p>a"),
    "many rules": ("<style>" + "".join(f"p:not(.a{n}) {{ --b{n}: c }} " for n in range(2_000)) + "</style>", "<p>a"),
    "several classes": (
        "<style>" + "".join(f".a{n}, p {{ --b{n}: c }}" for n in range(500)) + "</style>",
        "<p class=a1>",
    ),
}


@pytest.mark.parametrize("name", STYLES)
def test_styles_in_tags_are_stopped_while_they_grow(name: str) -> None:
    """A part with its inlined styles has at most one MiB."""
    styles, tag = STYLES[name]
    with pytest.raises(OutputTooLargeError):
        inline_styles(styles + tag * 3_000)
    source = TemplateSource(
        files={"subject.txt": "a", "body.html": f"{styles}{{% for n in range(3000) %}}{tag}{{% endfor %}}"},
        sample={},
        settings=TemplateSettings(name="A"),
    )
    job = RenderJob(version="a", locale=None, variables="{}", header=header())
    answer = RenderingChild().answer_request(RenderBatchRequest(jobs=[job], sources={"a": source}))
    assert isinstance(answer, RenderBatchAnswer)
    (mail,) = answer.results
    assert isinstance(mail, RenderFault)
    assert (mail.part, mail.code) == ("body.html", FaultCode.TOO_LARGE)


def test_tags_that_have_their_styles_written_in_are_bounded_too() -> None:
    """Styles are not inlined into a source that would become too large."""
    html = STYLES["one rule for all"][0] + "<p>a</p>" * 3_000
    source = TemplateSource(
        files={"subject.txt": "a", "body.html": html}, sample={}, settings=TemplateSettings(name="A")
    )
    answer = RenderingChild().answer_request(
        RenderBatchRequest(
            jobs=[RenderJob(version="a", locale=None, variables="{}", header=header())], sources={"a": source}
        )
    )
    assert isinstance(answer, RenderBatchAnswer)
    assert isinstance(answer.results[0], RenderFault)


def test_a_finished_mail_has_its_measure_before_it_is_made() -> None:
    """The size of a mail with files is computed exactly in advance."""
    for size in (0, 1, 56, 57, 58, 114, 1_000, 4_711):
        files = [MailAttachment(filename="a", content_type="a/b", content_id=None, data=b"x" * size)] * 2
        mail = MailWithGaps(pieces=[b"head", 0, b"between", 1, b"end", 2])
        assert get_filled_size(mail, files, [b"image\r\n"]) == len(fill_attachments(mail, files, [b"image\r\n"]).wire)
    assert MAX_MESSAGE_BYTES > 10 * 1024 * 1024 * 4 / 3 + 2 * 4 / 3 * MAX_OUTPUT  # all that one request may attach


def test_a_request_ends_when_it_has_been_work_enough() -> None:
    """A request stops at its time budget after at least one mail, and reports each mail's time."""
    jobs = [
        RenderJob(version=None, locale=None, variables="{}", header=header(), content='{"subject":"a","text":"b"}')
    ] * 5
    for child in (RenderingChild(seconds=0.0), RenderingChild(size=1)):
        answer = child.answer_request(RenderBatchRequest(jobs=jobs, sources={}))
        assert isinstance(answer, RenderBatchAnswer)
        assert (len(answer.results), len(answer.seconds)) == (1, 1)
    answer = RenderingChild().answer_request(RenderBatchRequest(jobs=jobs, sources={}))
    assert isinstance(answer, RenderBatchAnswer)
    assert msgspec.msgpack.encode(answer.results[:1] * 5) == msgspec.msgpack.encode(answer.results)


@pytest.fixture
def short_clock() -> Iterator[None]:
    """Give parts a time limit of one millisecond."""
    before = signal.getsignal(signal.SIGPROF)
    state = vars(TIME_LIMIT).copy()
    TIME_LIMIT.seconds = 0.001
    TIME_LIMIT.set_up()
    yield
    TIME_LIMIT.stop()
    vars(TIME_LIMIT).update(state)
    signal.signal(signal.SIGPROF, before)


@pytest.mark.usefixtures("short_clock")
def test_the_text_of_content_is_made_within_the_clock_of_a_part() -> None:
    """Generating the text part of content has the time limit of a part."""
    fault = rendered({"subject": "a", "html": "<p>word <b>bold</b>" * 20_000})
    assert isinstance(fault, RenderFault)
    assert (fault.part, fault.code) == ("content", FaultCode.TOO_SLOW)


@pytest.mark.usefixtures("short_clock")
@pytest.mark.parametrize("make", [inline_styles, build_plain_text])
def test_what_is_made_of_a_templates_html_has_a_clock_too(make: Callable[[str], str]) -> None:
    """Generating text and inlining styles of a template have a time limit, too."""
    with pytest.raises(PartError) as failed:
        compiled_version.convert_html(make, "<style>p { color: red }</style>" + "<p>word <b>bold</b>" * 20_000)
    assert (failed.value.fault.part, failed.value.fault.code) == ("body.html", FaultCode.TOO_SLOW)
