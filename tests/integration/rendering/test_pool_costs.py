"""What a pool tells of the cost of mails, and what is too large to be sent."""

import json
from pathlib import Path

from integration.rendering.test_pool import SOURCES, kinds
from msgspec.structs import replace
from parts.example_mail import HEADER, job
from parts.time import HandClock

from notifier.db.engine import Database
from notifier.notification.make import MailMaker
from notifier.notification.recipients import RecipientPolicy
from notifier.rendering.job import Attachment, FaultCode, Job, Rendered, RenderFault, Untried
from notifier.rendering.on_demand import PoolOnDemand
from notifier.rendering.pool import MOST_CONTENT, TOO_BIG, RenderingPool
from notifier.settings import RecipientsMode


class Shy:
    """A meter that has everything left out once it has heard of one mail."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, float]] = []

    def add(self, job: Job, seconds: float) -> None:
        """Remember it."""
        self.heard.append((job.payer, seconds))

    def leaves_out(self, job: Job) -> bool:
        """Of those that have been heard of, all others."""
        return job.payer in {payer for payer, _ in self.heard}


def content(size: int, payer: str = "") -> Job:
    """A job with a text of so many characters."""
    said = json.dumps({"subject": "Hi", "text": "a" * size})
    return Job(version=None, locale=None, variables="{}", header=HEADER, content=said, payer=payer)


async def test_what_turns_out_to_be_costly_is_left_out_of_what_follows() -> None:
    """Two requests are under way before anything is known; of the others, only those of others are rendered."""
    jobs = [*[content(MOST_CONTENT, "a")] * 3, replace(job(), payer="b")]
    meter = Shy()
    async with RenderingPool() as pool:
        results = await pool.render(jobs, SOURCES, meter)
    assert kinds(results) == [Rendered, Rendered, Untried, Rendered]
    assert sorted(payer for payer, _ in meter.heard) == ["a", "a", "b"]


async def test_a_mail_beyond_the_limit_is_not_finished() -> None:
    """Whatever it is made of: its own words, or files that are put in; the others leave."""
    file = Attachment(filename="a", content_type="a/b", content_id=None, data=b"x" * 4_000)
    jobs = [job(), replace(job(), attachments=[file]), content(4_000), job()]
    async with RenderingPool(limit=4_000) as pool:
        results = await pool.render(jobs, SOURCES)
    assert kinds(results) == [Rendered, RenderFault, RenderFault, Rendered]
    assert results[1] == results[2] == TOO_BIG
    assert (TOO_BIG.code, "25 MiB" in TOO_BIG.message) == (FaultCode.TOO_LARGE, True)


async def test_whose_mails_are_costly_is_told_by_what_they_took(tmp_path: Path) -> None:
    """Content as well as templates: of one service, and nobody else's."""
    pool = RenderingPool()
    policy = RecipientPolicy(mode=next(iter(RecipientsMode)), allowed=frozenset(), everyone=True, redirect_to=None)
    maker = MailMaker(Database(f"sqlite:///{tmp_path}/a.db"), pool, PoolOnDemand(), policy, HandClock())
    for _ in range(2):
        maker.add(content(1, "a"), 0.2)
        maker.add(content(1, "b"), 0.01)
    assert maker.leaves_out(content(1, "a"))
    assert not maker.leaves_out(content(1, "b"))
    assert not maker.leaves_out(replace(job(), payer="a"))
