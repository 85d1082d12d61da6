"""The rendering pool with attachments and own content: data for the child, assembly in the parent, previews."""

import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from msgspec.structs import replace
from unit.rendering.hostile_templates import STUBBORN

from notifier.mail.mail_parts import MailAttachment, Mailbox, MailHeader, RenderedMail
from notifier.rendering.child_program import MAX_KNOWN_VERSIONS
from notifier.rendering.pool import (
    MAX_BATCH_MAILS,
    MAX_BYTES_ON_LOOP,
    MAX_CONTENT_CHARACTERS,
    TOO_SLOW_FAULT,
    RenderingPool,
)
from notifier.rendering.protocol import PreviewedMail, RenderJob
from notifier.template_language.template_source import RenderFault, TemplateSettings, TemplateSource

HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=datetime(2026, 3, 9, tzinfo=UTC),
    sender=Mailbox("shop@shop.example"),
    recipient="ada@example.com",
)
SOURCES = {
    name: TemplateSource(
        files={"subject.txt": "Hi {{ x }}", "body.html": html, "body.txt": "Text {{ x }}"},
        sample={"x": "a"},
        settings=TemplateSettings(name="A"),
    )
    for name, html in {"good": "<p>{{ x }}</p>", "endless": STUBBORN}.items()
}
TEN_MEBIBYTES = 10 * 1024 * 1024


def file(data: bytes, name: str = "a.pdf", content_id: str | None = None) -> MailAttachment:
    """An attachment with these bytes."""
    content_type = "image/png" if content_id else "application/pdf"
    return MailAttachment(filename=name, content_type=content_type, content_id=content_id, data=data)


def job(
    *attachments: MailAttachment, version: str | None = "good", x: str = "a", content: dict[str, Any] | None = None
) -> RenderJob:
    """A job with these attachments."""
    return RenderJob(
        version=None if content is not None else version,
        locale=None,
        variables=json.dumps({"x": x}),
        header=HEADER,
        content=None if content is None else json.dumps(content),
        attachments=list(attachments),
    )


def message(result: object) -> Any:
    """The rendered mail as the standard library reads it."""
    assert isinstance(result, RenderedMail | PreviewedMail), result
    return message_from_bytes(result.wire, policy=default)


def files_of(result: object) -> list[bytes]:
    """The bytes of its attachments."""
    return [part.get_payload(decode=True) for part in message(result).walk() if part["Content-Disposition"]]


def child() -> int:
    """The process id of the only rendering child."""
    (pid,) = (process.pid for process in multiprocessing.active_children() if process.name == "notifier-rendering")
    assert pid is not None
    return pid


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started


@pytest.mark.parametrize("size", [1, MAX_BYTES_ON_LOOP, MAX_BYTES_ON_LOOP + 1])
async def test_each_mail_gets_its_own_files(pool: RenderingPool, size: int) -> None:
    """In a mixed batch each mail has its files, images first, on any thread."""
    jobs = [job(file(bytes([number]) * size), file(b"i", "i.png", "i"), x=str(number)) for number in range(3)]
    results = await pool.render([jobs[0], job(x="none"), *jobs[1:]], SOURCES)
    assert [str(message(result)["Subject"]) for result in results] == ["Hi 0", "Hi none", "Hi 1", "Hi 2"]
    expected = [[b"i", bytes([number]) * size] for number in range(3)]
    assert [files_of(result) for result in results] == [expected[0], [], *expected[1:]]


async def test_the_largest_mails_arrive_in_one_batch(pool: RenderingPool) -> None:
    """Ten mebibytes each: no child is lost, and the event loop keeps running."""
    data = os.urandom(TEN_MEBIBYTES)
    before, turns, rendering = child(), 0, asyncio.create_task(pool.render([job(file(data))] * 4, SOURCES))
    while not rendering.done():
        await asyncio.sleep(0)
        turns += 1
    results = await rendering
    assert files_of(results[0]) == [data]
    assert len({result.sha256 for result in results if isinstance(result, RenderedMail)}) == 1
    assert len(results) == 4
    assert turns > 20  # one for each step of the way, if it stopped for the whole of it
    assert child() == before


async def test_a_fault_takes_no_files(pool: RenderingPool) -> None:
    """A mail that cannot be rendered and an invalid file name are faults."""
    results = await pool.render([job(file(b"a"), x="a\nb"), job(file(b"a", "a\r\n.pdf")), job(file(b"a"))], SOURCES)
    assert [type(result) for result in results] == [RenderFault, RenderFault, RenderedMail]


async def test_content_needs_no_source(pool: RenderingPool) -> None:
    """Mails with own content and mails from templates share a batch."""
    content = {"subject": "{{ x }}", "html": "<p>b</p>", "text": None}
    results = await pool.render([job(content=content), job(), job(content=content)], SOURCES)
    assert [str(message(result)["Subject"]) for result in results] == ["{{ x }}", "Hi a", "{{ x }}"]


async def test_much_content_is_no_overrun(pool: RenderingPool) -> None:
    """A batch of long documents is split into several requests, so that none overruns."""
    before = child()
    html = "<table>" + "<tr><td>Hello</td><td>you</td></tr>" * (MAX_CONTENT_CHARACTERS // 36) + "</table>"
    jobs = [job(content={"subject": str(number), "html": html}) for number in range(MAX_BATCH_MAILS)]
    results = await pool.render(jobs, {})
    assert [str(message(result)["Subject"]) for result in results] == [str(number) for number in range(MAX_BATCH_MAILS)]
    assert child() == before


async def test_a_preview_is_what_is_sent(pool: RenderingPool) -> None:
    """The preview has the same parts and bytes as the mail, attachments included."""
    render_job = job(file(b"a"), x="b")
    preview = await pool.preview(render_job, SOURCES)
    assert isinstance(preview, PreviewedMail)
    assert (preview.subject, preview.html, preview.text) == ("Hi b", "<p>b</p>", "Text b")
    (sent,) = await pool.render([render_job], SOURCES)
    assert isinstance(sent, RenderedMail)
    assert preview.wire == sent.wire


async def test_a_preview_of_content(pool: RenderingPool) -> None:
    """The preview of content has no HTML if there is none, and shows the generated text."""
    preview = await pool.preview(job(content={"subject": "Hi", "text": "a"}), {})
    assert isinstance(preview, PreviewedMail)
    assert (preview.html, preview.text) == (None, "a")
    preview = await pool.preview(job(content={"subject": "Hi", "html": "<p>a</p>"}), {})
    assert isinstance(preview, PreviewedMail)
    assert (preview.html, preview.text) == ("<p>a</p>", "a\n")


async def test_a_preview_that_cannot_be_is_a_fault(pool: RenderingPool) -> None:
    """A preview that cannot be rendered is a fault, and the next one is shown."""
    assert isinstance(await pool.preview(job(x="a\nb"), SOURCES), RenderFault)
    assert await pool.preview(job(version="endless"), SOURCES) == TOO_SLOW_FAULT
    assert isinstance(await pool.preview(job(), SOURCES), PreviewedMail)


async def test_a_preview_survives_its_childs_death(pool: RenderingPool) -> None:
    """A preview is rendered again after its child was killed or starved."""
    for how in (signal.SIGKILL, signal.SIGSTOP):
        before = child()
        os.kill(before, how)
        assert isinstance(await pool.preview(job(), SOURCES), PreviewedMail)
        assert child() != before


async def test_a_version_that_was_shown_is_known(pool: RenderingPool) -> None:
    """Parent and child agree on the compiled versions, for mails and previews."""
    assert isinstance(await pool.preview(job(), SOURCES), PreviewedMail)
    results = await pool.render([job(), job(content={"subject": "Hi", "text": "a"})], SOURCES)
    assert [type(result) for result in results] == [RenderedMail, RenderedMail]


async def test_showing_keeps_a_version_for_both(pool: RenderingPool) -> None:
    """A preview counts as a use in both caches, so both evict the same version."""
    versions = {f"v{number}": SOURCES["good"] for number in range(MAX_KNOWN_VERSIONS + 1)}
    first = list(versions)[:MAX_KNOWN_VERSIONS]
    await pool.render([job(version=name) for name in first], versions)
    assert isinstance(await pool.preview(job(version="v0"), versions), PreviewedMail)
    results = await pool.render([job(version=f"v{MAX_KNOWN_VERSIONS}")], versions)
    results += await pool.render([job(version="v0"), job(version="v1")], versions)
    assert [type(result) for result in results] == [RenderedMail] * 3


def test_the_child_is_not_told_what_is_in_files() -> None:
    """The child gets names and types of files, but no bytes."""
    sent = job(file(b"abc"), file(b"d", "b.pdf")).without_file_bytes()
    assert [(item.filename, item.data) for item in sent.attachments] == [("a.pdf", b""), ("b.pdf", b"")]


async def test_jobs_keep_their_files(pool: RenderingPool) -> None:
    """The caller's job keeps its files, and rendering again gives the same bytes."""
    original = job(file(b"abc"))
    copy = replace(original)
    first, second = await pool.render([original], SOURCES), await pool.render([original], SOURCES)
    assert first == second
    assert original == copy
