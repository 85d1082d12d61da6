"""The cost of mails as the pool reports it, and the size limit."""

import json
from pathlib import Path

from integration.rendering.test_pool import SOURCES, kinds
from msgspec.structs import replace
from support.example_render_job import HEADER, build_job
from support.manual_clock import ManualClock

from notifier.db.engine import Database
from notifier.delivery.mail_renderer import MailRenderer
from notifier.email_address import RecipientPolicy
from notifier.mail.mail_parts import MailAttachment, RenderedMail
from notifier.rendering.pool import MAX_CONTENT_CHARACTERS, TOO_LARGE_FAULT, RenderingPool
from notifier.rendering.preview_pool import PreviewPool
from notifier.rendering.protocol import RenderJob, SkippedMail
from notifier.settings import RecipientsMode
from notifier.template_language.template_source import FaultCode, RenderFault


class Shy:
    """A meter that skips all mails of a payer after its first cost report."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, float]] = []

    def add_cost(self, job: RenderJob, seconds: float) -> None:
        """Remember the cost."""
        self.heard.append((job.payer, seconds))

    def is_skipped(self, job: RenderJob) -> bool:
        """True if there is a cost report for the payer."""
        return job.payer in {payer for payer, _ in self.heard}


def content(size: int, payer: str = "") -> RenderJob:
    """A job with a text of so many characters."""
    text = json.dumps({"subject": "Hi", "text": "a" * size})
    return RenderJob(version=None, locale=None, variables="{}", header=HEADER, content=text, payer=payer)


async def test_what_turns_out_to_be_costly_is_left_out_of_what_follows() -> None:
    """After a payer's first cost report its later mails are skipped, and others' are rendered."""
    jobs = [*[content(MAX_CONTENT_CHARACTERS, "a")] * 3, replace(build_job(), payer="b")]
    meter = Shy()
    async with RenderingPool() as pool:
        results = await pool.render(jobs, SOURCES, meter)
    assert kinds(results) == [RenderedMail, RenderedMail, SkippedMail, RenderedMail]
    assert sorted(payer for payer, _ in meter.heard) == ["a", "a", "b"]


async def test_a_mail_beyond_the_limit_is_not_finished() -> None:
    """A mail over the size limit fails, by its text or its files; the others are sent."""
    file = MailAttachment(filename="a", content_type="a/b", content_id=None, data=b"x" * 4_000)
    jobs = [build_job(), replace(build_job(), attachments=[file]), content(4_000), build_job()]
    async with RenderingPool(limit=4_000) as pool:
        results = await pool.render(jobs, SOURCES)
    assert kinds(results) == [RenderedMail, RenderFault, RenderFault, RenderedMail]
    assert results[1] == results[2] == TOO_LARGE_FAULT
    assert (TOO_LARGE_FAULT.code, "25 MiB" in TOO_LARGE_FAULT.message) == (FaultCode.TOO_LARGE, True)


async def test_whose_mails_are_costly_is_told_by_what_they_took(tmp_path: Path) -> None:
    """Costs of content and templates are reported for their own service."""
    pool = RenderingPool()
    policy = RecipientPolicy(
        mode=next(iter(RecipientsMode)), allowed=frozenset(), allows_everyone=True, redirect_to=None
    )
    maker = MailRenderer(Database(f"sqlite:///{tmp_path}/a.db"), pool, PreviewPool(), policy, ManualClock())
    for _ in range(2):
        maker.add_cost(content(1, "a"), 0.2)
        maker.add_cost(content(1, "b"), 0.01)
    assert maker.is_skipped(content(1, "a"))
    assert not maker.is_skipped(content(1, "b"))
    assert not maker.is_skipped(replace(build_job(), payer="a"))
