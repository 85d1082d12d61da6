"""Memory that a rendering child has freed, as the kernel counts page faults."""

import json
import multiprocessing
import platform
from datetime import UTC, datetime
from pathlib import Path

import pytest

from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedMail
from notifier.rendering.pool import MAX_BATCH_MAILS, RenderingPool
from notifier.rendering.protocol import RenderJob
from notifier.template_language.template_source import TemplateSettings, TemplateSource

HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=datetime(2026, 3, 9, tzinfo=UTC),
    sender=Mailbox("shop@shop.example"),
    recipient="ada@example.com",
)
WARM_BATCHES = 24
HTML = "{% for line in lines %}<p style='margin: 0'>{{ line }}</p>\n{% endfor %}"
SOURCE = TemplateSource(
    files={"subject.txt": "Hi", "body.html": HTML, "body.txt": "x"},
    sample={"lines": ["a"]},
    settings=TemplateSettings(name="A"),
)


def page_faults() -> int:
    """The number of page faults of the only rendering child since its start."""
    (pid,) = (child.pid for child in multiprocessing.active_children() if child.name == "notifier-rendering")
    return int(Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[7])


async def faults_of_warm_batches(pool: RenderingPool, lines: int) -> int:
    """The page faults of warm batches, after eight batches to warm up."""
    variables = json.dumps({"lines": ["€" * 30] * lines})
    jobs = [RenderJob(version="long", locale=None, variables=variables, header=HEADER)] * MAX_BATCH_MAILS
    before = 0
    for number in range(8 + WARM_BATCHES):
        if number == 8:
            before = page_faults()
        results = await pool.render(jobs, {"long": SOURCE})
        assert [type(result) for result in results] == [RenderedMail] * MAX_BATCH_MAILS
    return page_faults() - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is kept of freed memory is up to the C library")
async def test_a_child_that_is_warm_needs_no_new_memory() -> None:
    """Freed memory is reused by the next batch, without page faults per mail."""
    async with RenderingPool(children=1) as pool:
        faults = [await faults_of_warm_batches(pool, lines) for lines in (60, 100, 140)]
    # The heap may grow a few times, by up to a hundred pages each time. A child that gives memory back takes that much
    # for each batch.
    assert max(faults) < WARM_BATCHES * 100 / 2
