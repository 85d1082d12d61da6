"""The time limit of a part, with real child processes."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
from integration.rendering.test_pool import SOURCES, children, kinds
from support.example_render_job import build_job

from notifier.mail.limits import MAX_PART_SECONDS, TimeLimit, TooSlowError
from notifier.mail.mail_parts import RenderedMail
from notifier.rendering import pool as rendering_pool
from notifier.rendering.pool import RenderingPool
from notifier.rendering.protocol import SkippedMail
from notifier.template_language.template_source import FaultCode, RenderFault


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started


@pytest.fixture
async def patient_pool() -> AsyncIterator[RenderingPool]:
    """A pool in which only processor time ends a mail, so that no child is replaced because the host is busy."""
    seconds = rendering_pool.MAX_WALL_SECONDS
    rendering_pool.MAX_WALL_SECONDS = rendering_pool.MAX_STARVED_WALL_SECONDS
    async with RenderingPool() as started:
        yield started
    rendering_pool.MAX_WALL_SECONDS = seconds


async def test_an_endless_template_is_stopped_where_it_is(patient_pool: RenderingPool) -> None:
    """The fault has the line, the other mails are rendered, and the child survives."""
    before = children()
    results = await patient_pool.render([build_job(), build_job("endless"), build_job()], SOURCES)
    assert kinds(results) == [RenderedMail, RenderFault, RenderedMail]
    fault = results[1]
    assert isinstance(fault, RenderFault)
    assert (fault.part, fault.line, fault.code) == ("body.html", 2, FaultCode.TOO_SLOW)
    assert fault.message == f"the mail was still being written here after {MAX_PART_SECONDS:g} s."
    assert children() == before


@pytest.mark.parametrize("name", ["endless", "stubborn"])
async def test_of_a_slow_version_one_mail_in_a_batch_is_tried(pool: RenderingPool, name: str) -> None:
    """The other mails of a slow version are skipped; those of other versions are rendered."""
    async with asyncio.timeout(50):
        results = await pool.render(
            [build_job(), build_job(name), build_job(), build_job(name), build_job(name)], SOURCES
        )
    assert kinds(results) == [RenderedMail, RenderFault, RenderedMail, SkippedMail, SkippedMail]


async def test_a_slow_mail_leaves_its_child_as_it_was(patient_pool: RenderingPool) -> None:
    """The timer of a stopped mail does not stop later ones, even if they take as long together."""
    large = [build_job("large", filling=["a" * 70] * 9000) for _ in range(100)]
    assert kinds(await patient_pool.render([build_job("endless")], SOURCES)) == [RenderFault]
    before = children()
    assert kinds(await patient_pool.render(large, SOURCES)) == [RenderedMail] * 100
    assert children() == before


def test_each_part_has_the_whole_time() -> None:
    """Two parts that take longer than the limit only together are not interrupted; one that takes longer alone is."""
    limit, handler = TimeLimit(), signal.getsignal(signal.SIGPROF)
    limit.set_up()
    try:
        for _ in range(2):
            with limit.part():
                _work(0.6 * limit.seconds)
        with pytest.raises(TooSlowError), limit.part():
            _work(10 * limit.seconds)
    finally:
        limit.stop()
        signal.signal(signal.SIGPROF, handler)


def _work(cpu_seconds: float) -> None:
    """Take this much processor time, however fast the host is."""
    end = time.process_time() + cpu_seconds
    while time.process_time() < end:
        pass


async def test_the_pool_counts_what_its_children_work(pool: RenderingPool) -> None:
    """A stopped mail costs its quarter of a second, and a good one nearly nothing."""
    await pool.render([build_job()], SOURCES)
    before = pool.cpu_seconds
    await pool.render([build_job()], SOURCES)
    between = pool.cpu_seconds
    await pool.render([build_job("endless")], SOURCES)
    assert between - before < MAX_PART_SECONDS / 2 < pool.cpu_seconds - between
