"""How a rendering child handles a batch, run in this process."""

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.mail.mail_parts import Mailbox, MailHeader, MailWithGaps, RenderedMail
from notifier.rendering import child_program as module
from notifier.rendering.child_program import FRAME_HEADER, READY_FRAME, RenderingChild
from notifier.rendering.protocol import ChildAnswer, RenderBatchAnswer, RenderBatchRequest, RenderJob, SkippedMail
from notifier.strict_json import parse_number
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.template_source import RenderFault, TemplateSettings, TemplateSource
from notifier.template_language.variable_schema import VARIABLES_DECODER

HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=datetime(2026, 3, 9, tzinfo=UTC),
    sender=Mailbox("shop@shop.example"),
    recipient="ada@example.com",
)
SEARCH = settings(max_examples=80, deadline=None, derandomize=True, database=None)
WELL_FORMED = st.characters(codec="utf-8")
JSON_VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(WELL_FORMED)
)


def source(html: str = "<p>{{ x }}</p>", subject: str = "About {{ x }}", **files: str) -> TemplateSource:
    """Build a source; `text` is body.txt, `fr_html` is locales/fr/body.html and so on."""
    names = {"text": "body.txt", "fr_html": "locales/fr/body.html", "fr_subject": "locales/fr/subject.txt"}
    parts = {"subject.txt": subject, "body.html": html} | {names.get(key, key): text for key, text in files.items()}
    return TemplateSource(files=parts, sample={"x": "a"}, settings=TemplateSettings(name="A", locale="en"))


def job(version: str = "v1", locale: str | None = None, header: MailHeader = HEADER, **variables: Any) -> RenderJob:
    """A job with these variables."""
    return RenderJob(version=version, locale=locale, variables=json.dumps({"x": "a", **variables}), header=header)


def only_result(result: ChildAnswer) -> RenderedMail | RenderFault:
    """The only result of a batch."""
    assert isinstance(result, RenderBatchAnswer)
    (only,) = result.results
    assert not isinstance(only, (MailWithGaps, SkippedMail))
    return only


def mailed(source: TemplateSource, job: RenderJob) -> dict[str, str]:
    """The parts of the rendered mail, as a client reads them."""
    result = only_result(
        RenderingChild().answer_request(RenderBatchRequest(jobs=[job], sources={job.version or "": source}))
    )
    assert isinstance(result, RenderedMail), result
    message: Any = message_from_bytes(result.wire, policy=default)
    text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
    return {"subject": str(message["Subject"]), "text": text, "html": html}


def fault(source: TemplateSource, **variables: Any) -> RenderFault:
    """The reason why the mail could not be rendered."""
    result = only_result(
        RenderingChild().answer_request(RenderBatchRequest(jobs=[job(**variables)], sources={"v1": source}))
    )
    assert isinstance(result, RenderFault), result
    return result


def test_a_job_becomes_a_mail() -> None:
    """Subject, HTML and text carry the variables; HTML is escaped, the others are not."""
    parts = mailed(source(text="Text {{ x }}"), job(x="<b>"))
    assert parts == {"subject": "About <b>", "html": "<p>&lt;b&gt;</p>\n", "text": "Text <b>\n"}


def test_a_missing_text_part_is_made_from_the_html() -> None:
    """A template without body.txt gets a generated text part."""
    assert mailed(source(html="<h1>Hello</h1><p>{{ x }}</p>"), job())["text"].split() == ["Hello", "a"]


def test_the_parts_may_use_the_subject_and_the_locale() -> None:
    """`subject` is the rendered subject, escaped in HTML, and `locale` the chosen tag."""
    made = mailed(source("<title>{{ subject }}</title>{{ locale }}", text="{{ subject }} {{ locale }}"), job(x="&"))
    assert made["html"] == "<title>About &amp;</title>en\n"
    assert made["text"] == "About & en\n"


@pytest.mark.parametrize(
    ("locale", "subject"), [("fr-CA", "Sujet fr"), ("FR", "Sujet fr"), ("de", "About a"), (None, "About a")]
)
def test_the_closest_locale_is_rendered(locale: str | None, subject: str) -> None:
    """fr-CA falls back to fr, and missing parts to the default."""
    french = source(fr_subject="Sujet {{ locale }}", fr_html="<p>{{ x }}</p>")
    assert mailed(french, job(locale=locale))["subject"] == subject


def test_styles_are_inlined_after_rendering() -> None:
    """A loop in a table is kept, and each cell gets its style."""
    html = "<style>td{color:red}</style><table>{% for n in x %}<tr><td>{{ n }}</td></tr>{% endfor %}</table>"
    made = mailed(source(html, subject="Hi", text="t"), job(x=[1, 2]))["html"]
    assert made.count('<td style="color:red">') + made.count('<td style="color: red;">') == 2


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"html": "<p>\n{{ nothing }}</p>"}, "body.html, line 2, column 4: there is no variable “nothing”."),
        (
            {"html": "\n\n{{ x.__class__ }}"},
            "body.html, line 3, column 6: “__class__” is not available in templates.",
        ),
        ({"html": "{% if %}"}, "body.html, line 1, column 1: this tag ends too early"),
        ({"html": "{{ x|attr('y') }}"}, "body.html, line 1, column 6: “attr” is not available."),
        ({"html": "{{ x * 2 }}"}, "body.html, line 1, column 6: the operator * is not available in templates"),
        ({"html": "{% include 'gone.html' %}"}, "body.html, line 1, column 13: there is no file “gone.html”."),
        ({"html": "{{ 1 / 0 }}"}, "body.html, line 1, column 6: this divides by zero."),
        ({"subject": "{{ nothing }}"}, "subject.txt, line 1, column 4: there is no variable “nothing”."),
        ({"subject": "a\n{{ x }}"}, "mail: U+000A at position 1 is not allowed in a header"),
        ({"text": "{{ x.y }}"}, "body.txt, line 1, column 4: “x” is text, and has no “y”."),
        ({"html": "{{ '\\ud800' }}", "text": "t"}, "mail: there is half a character in it."),
        (
            {"html": "{% for a in range(99999) %}{{ x }}aaaaaaaaaaaaaaa{% endfor %}"},
            "body.html: this becomes more than 1 MiB of text.",
        ),
        (
            {"html": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
            "body.html, line 1: a macro, block or file uses itself again and again",
        ),
    ],
)
def test_a_fault_says_where_and_what(parts: dict[str, str], said: str) -> None:
    """A fault has part, line and words."""
    assert str(fault(source(**parts))).startswith(said)


def test_a_newline_in_a_variable_cannot_leave_the_subject() -> None:
    """A line break from a variable in the subject is a fault of the mail."""
    assert "U+000A" in fault(source(), x="a\nBcc: e@x.org").message


def test_nul_in_a_variable_is_a_fault() -> None:
    """A NUL from a variable is a fault of the mail."""
    assert (
        fault(source(subject="Hi", text="{{ x }}"), x="\x00").message == "the text/plain part contains a NUL character"
    )


def test_a_version_that_was_never_sent_is_a_fault() -> None:
    """A job with an unknown version is answered with a fault."""
    fault = only_result(RenderingChild().answer_request(RenderBatchRequest(jobs=[job()], sources={})))
    assert isinstance(fault, RenderFault)
    assert str(fault) == "mail: the mail could not be put together. Tell who runs Notifier that it was “KeyError”."


def test_one_bad_mail_leaves_its_neighbours_alone() -> None:
    """The results come in order, and only the bad one is a fault."""
    answer = RenderingChild().answer_request(
        RenderBatchRequest(jobs=[job(), job(x="a\nb"), job()], sources={"v1": source()})
    )
    assert isinstance(answer, RenderBatchAnswer)
    assert [type(result) for result in answer.results] == [RenderedMail, RenderFault, RenderedMail]


def test_a_source_is_remembered() -> None:
    """A version is sent to the child only once."""
    child = RenderingChild()
    first, again = (
        child.answer_request(RenderBatchRequest(jobs=[job()], sources=sources)) for sources in ({"v1": source()}, {})
    )
    assert isinstance(first, RenderBatchAnswer)
    assert isinstance(again, RenderBatchAnswer)
    assert again.results == first.results


def test_the_versions_used_longest_ago_are_forgotten() -> None:
    """The cache keeps the 256 most recently used versions."""
    child = RenderingChild()
    child.answer_request(
        RenderBatchRequest(jobs=[job("kept"), job("lost")], sources={"kept": source(), "lost": source()})
    )
    for number in range(module.MAX_KNOWN_VERSIONS - 1):
        child.answer_request(
            RenderBatchRequest(jobs=[job(f"v{number}"), job("kept")], sources={f"v{number}": source()})
        )
    assert isinstance(
        only_result(child.answer_request(RenderBatchRequest(jobs=[job("kept")], sources={}))), RenderedMail
    )
    assert isinstance(
        only_result(child.answer_request(RenderBatchRequest(jobs=[job("lost")], sources={}))), RenderFault
    )


def test_the_inputs_are_not_changed() -> None:
    """Rendering twice from the same variables gives the same mail."""
    variables = {"x": ["b", "a"]}
    version = CompiledVersion(source("{{ x|sort|join }}", subject="{{ x|first }}", text="t"))
    assert version.render(None, variables) == version.render(None, variables)
    assert variables == {"x": ["b", "a"]}


@pytest.mark.parametrize("number", ["18446744073709551616", "-12345678901234567890123", "0.1", "2.5", "5e-324"])
def test_a_number_is_shown_as_it_was_given(number: str) -> None:
    """Whole numbers beyond 64 bits and fractions are shown unchanged."""
    render_job = RenderJob(version="v1", locale=None, variables=f'{{"x": {number}}}', header=HEADER)
    assert mailed(source(text="t"), render_job)["subject"] == f"About {number}"


def test_keys_keep_their_order_and_letters() -> None:
    """A loop over an object keeps the order of its JSON; escapes equal plain UTF-8."""
    render_job = RenderJob(version="v1", locale=None, variables='{"x": {"ü": 1, "\\u00e9": 2, "a": 3}}', header=HEADER)
    assert mailed(source("{{ x|join(' ') }}", subject="{{ x|join(' ') }}"), render_job)["subject"] == "ü é a"


@SEARCH
@given(st.recursive(JSON_VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(WELL_FORMED), inner)))
def test_variables_are_read_as_the_standard_library_reads_them(value: Any) -> None:
    """Random JSON gives the same values as `json`, and whole numbers are int."""
    text = json.dumps({"x": value}, ensure_ascii=False)
    assert repr(VARIABLES_DECODER.decode(text)) == repr(json.loads(text, parse_float=parse_number))


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1', "null"])
def test_variables_that_are_no_object_are_a_fault(text: str) -> None:
    """A damaged row is a fault of its own mail only."""
    render_job = RenderJob(version="v1", locale=None, variables=text, header=HEADER)
    answer = RenderingChild().answer_request(RenderBatchRequest(jobs=[render_job, job()], sources={"v1": source()}))
    assert isinstance(answer, RenderBatchAnswer)
    assert [type(result) for result in answer.results] == [RenderFault, RenderedMail]


SERVE = """
import socket, sys
from notifier.rendering.child_program import serve_requests

serve_requests(socket.socket(fileno=int(sys.argv[1])))
"""


@pytest.mark.parametrize("cut", [0, 2, 100])
def test_a_child_ends_with_its_parents_socket(cut: int) -> None:
    """The child answers each frame, and ends cleanly when the socket closes, even within a frame."""
    ours, theirs = socket.socketpair()
    request = msgspec.msgpack.encode(RenderBatchRequest(jobs=[job()], sources={"v1": source()}))
    frame = FRAME_HEADER.pack(len(request)) + request
    with theirs:
        process = subprocess.Popen([sys.executable, "-c", SERVE, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    with ours, ours.makefile("rb") as stream:
        assert stream.read(len(READY_FRAME)) == READY_FRAME
        for _ in range(2):
            ours.sendall(frame)
            (size,) = FRAME_HEADER.unpack(stream.read(FRAME_HEADER.size))
            answer = msgspec.msgpack.decode(stream.read(size), type=RenderBatchAnswer)
            assert isinstance(only_result(answer), RenderedMail)
        ours.sendall(frame[:cut])
    assert process.wait(timeout=100) == 0
