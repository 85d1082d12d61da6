"""The rendering pool with real child processes: limits, losses and recovery."""

import asyncio
import json
import multiprocessing
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from support.example_render_job import GOOD, HEADER, build_job, build_source
from unit.rendering.hostile_templates import STUBBORN

from notifier.mail.mail_parts import RenderedMail
from notifier.rendering.child_process import MAX_DEFAULT_CHILDREN, suggest_child_count
from notifier.rendering.child_program import MAX_KNOWN_VERSIONS, MAX_MEMORY_BYTES
from notifier.rendering.pool import (
    MAX_BATCH_MAILS,
    TOO_SLOW_FAULT,
    RenderingPool,
)
from notifier.rendering.protocol import RenderJob
from notifier.template_language.template_source import FaultCode, RenderFault
from notifier.templating.sync import template_files

ENDLESS = "<p>{{ x }}</p>\n" + "{% for n in range(99999) %}" * 3 + "{% endfor %}" * 3
LINES = "{% for line in filling %}{{ line ~ '\n' }}{% endfor %}"
HOG = "{% set s = [x] %}" + "{% set s = s + s %}" * 64 + "{{ s|length }}"


SOURCES = {
    "good": GOOD,
    "endless": build_source(ENDLESS),
    "stubborn": build_source(STUBBORN),
    "hog": build_source("<p>", HOG),
    "large": build_source("<p>", LINES),
}


def kinds(results: Sequence[object]) -> list[type]:
    """The kind of each result."""
    return [type(result) for result in results]


def subjects(results: Sequence[object]) -> list[str]:
    """The subjects of mails that were all rendered."""
    assert kinds(results) == [RenderedMail] * len(results)
    return [message_from_bytes(result.wire)["Subject"] for result in results if isinstance(result, RenderedMail)]


def children() -> list[int]:
    """The process ids of living rendering children."""
    processes = multiprocessing.active_children()
    return sorted(child.pid for child in processes if child.name == "notifier-rendering" and child.pid is not None)


def limits_of(pid: int) -> str:
    """The resource limits of a process."""
    return Path(f"/proc/{pid}/limits").read_text("ascii")


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started


@pytest.mark.parametrize(
    ("processors", "number"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, MAX_DEFAULT_CHILDREN), (64, MAX_DEFAULT_CHILDREN)]
)
def test_half_of_the_processors_may_render(processors: int, number: int) -> None:
    """Rendering uses half of the processors; sender, database and relay need the others."""
    assert suggest_child_count(processors) == number


async def test_the_number_of_children_is_found_out() -> None:
    """By default the number of children comes from the processors of this process."""
    before = children()
    async with RenderingPool(children=0):
        assert len(children()) - len(before) == suggest_child_count(len(os.sched_getaffinity(0)))


async def test_a_batch_is_rendered_in_order(pool: RenderingPool) -> None:
    """More jobs than fit into one request are rendered, one result each, in order."""
    jobs = [build_job(x=str(number)) for number in range(MAX_BATCH_MAILS * 2 + 1)]
    results = await pool.render(jobs, SOURCES)
    assert subjects(results) == [f"Hi {number}" for number in range(len(jobs))]


async def test_a_template_that_cannot_be_stopped_hurts_only_itself(pool: RenderingPool) -> None:
    """The child is killed at the wall limit, the other mails are rendered, and a new child starts."""
    before = children()
    async with asyncio.timeout(50):
        results = await pool.render([build_job(), build_job("stubborn"), build_job()], SOURCES)
    assert kinds(results) == [RenderedMail, RenderFault, RenderedMail]
    assert results[1] == TOO_SLOW_FAULT
    assert len(children()) == 1
    assert children() != before
    assert kinds(await pool.render([build_job()], SOURCES)) == [RenderedMail]


async def test_an_endless_template_is_a_fault_of_its_check(pool: RenderingPool) -> None:
    """A check has a wall limit, and the next check works."""
    async with asyncio.timeout(50):
        report = await pool.check(build_source(STUBBORN))
    assert report.faults == [TOO_SLOW_FAULT]
    assert (await pool.check(GOOD)).faults == []


async def test_a_child_killed_from_outside_is_replaced(pool: RenderingPool) -> None:
    """After a kill -9 of the child, every mail of the next batch is rendered, by another child."""
    (before,) = children()
    os.kill(before, signal.SIGKILL)
    assert kinds(await pool.render([build_job(), build_job()], SOURCES)) == [RenderedMail, RenderedMail]
    assert before not in children()


async def test_a_mail_alone_survives_its_childs_death(pool: RenderingPool) -> None:
    """A single mail is rendered again after its child was killed from outside."""
    os.kill(children()[0], signal.SIGKILL)
    assert kinds(await pool.render([build_job()], SOURCES)) == [RenderedMail]


async def test_a_child_killed_in_the_middle_of_a_batch_is_replaced(pool: RenderingPool) -> None:
    """A check that loses its child is answered, and the pool continues."""
    (before,) = children()
    checking = asyncio.create_task(pool.check(build_source(STUBBORN)))
    await asyncio.sleep(0)
    os.kill(before, signal.SIGKILL)
    assert (await checking).faults == [TOO_SLOW_FAULT]
    assert kinds(await pool.render([build_job()], SOURCES)) == [RenderedMail]


async def test_a_template_that_takes_all_memory_hurts_only_itself(pool: RenderingPool) -> None:
    """A list that doubles ends at the child's memory limit; the other mails are rendered."""
    async with asyncio.timeout(50):
        results = await pool.render([build_job(), build_job("hog", x="a" * 500), build_job()], SOURCES)
    assert kinds(results) == [RenderedMail, RenderFault, RenderedMail]
    assert isinstance(results[1], RenderFault)
    assert results[1].code in {FaultCode.TOO_LARGE, FaultCode.TOO_SLOW}  # whichever limit it meets first
    assert results[1] == TOO_SLOW_FAULT or (results[1].part, results[1].line) == ("body.txt", 1)


async def test_a_child_may_not_take_more_memory_than_its_limit(pool: RenderingPool) -> None:
    """The kernel enforces the child's memory limit, and no core file is written."""
    await pool.render([build_job()], SOURCES)
    limits = limits_of(children()[0])
    assert re.search(rf"Max address space +{MAX_MEMORY_BYTES} +{MAX_MEMORY_BYTES} ", limits)
    assert re.search(r"Max core file size +0 +0 ", limits)


async def test_a_cancelled_render_leaves_a_working_child(pool: RenderingPool) -> None:
    """After an endless request was cancelled, the next one is rendered."""
    rendering = asyncio.create_task(pool.render([build_job("stubborn")], SOURCES))
    await asyncio.sleep(0)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert kinds(await pool.render([build_job()], SOURCES)) == [RenderedMail]


async def test_a_request_that_was_given_up_has_no_part_in_the_next(pool: RenderingPool) -> None:
    """The answer to a cancelled request is dropped; others get their own."""
    jobs = [[build_job(x=f"{caller}-{number}") for number in range(MAX_BATCH_MAILS)] for caller in range(4)]
    requests = [asyncio.create_task(pool.render(batch, SOURCES)) for batch in jobs]
    await asyncio.sleep(0)
    for given_up in (requests[0], requests[2]):
        given_up.cancel()
    assert subjects(await requests[1]) == [f"Hi 1-{number}" for number in range(MAX_BATCH_MAILS)]
    assert subjects(await requests[3]) == [f"Hi 3-{number}" for number in range(MAX_BATCH_MAILS)]
    assert [task.cancelled() for task in requests] == [True, False, True, False]


async def test_a_culprit_in_the_second_of_two_batches_under_way(pool: RenderingPool) -> None:
    """The second batch's time starts at the first one's answer, and only the slow mail fails."""
    (before,) = children()
    fine = [build_job(x=f"a{number}") for number in range(MAX_BATCH_MAILS)]
    mixed = [build_job(x="b0"), build_job("stubborn"), build_job(x="b2")]
    async with asyncio.timeout(50):
        first, second = await asyncio.gather(pool.render(fine, SOURCES), pool.render(mixed, SOURCES))
    assert subjects(first) == [f"Hi a{number}" for number in range(MAX_BATCH_MAILS)]
    assert subjects([second[0], second[2]]) == ["Hi b0", "Hi b2"]
    assert second[1] == TOO_SLOW_FAULT
    assert before not in children()


async def test_a_batch_behind_a_culprit_is_not_to_blame(pool: RenderingPool) -> None:
    """After the child is killed for the first batch, the second is rendered by the next child."""
    behind = [build_job(x=str(number)) for number in range(MAX_BATCH_MAILS)]
    async with asyncio.timeout(50):
        first, second = await asyncio.gather(
            pool.render([build_job("stubborn")], SOURCES), pool.render(behind, SOURCES)
        )
    assert first == [TOO_SLOW_FAULT]
    assert subjects(second) == [f"Hi {number}" for number in range(MAX_BATCH_MAILS)]


@pytest.mark.parametrize("answers", [0, 1, 2])
async def test_a_child_killed_with_two_batches_under_way(pool: RenderingPool, answers: int) -> None:
    """Whenever the child dies, each caller gets the results of its own jobs in order."""
    (before,) = children()
    jobs = [[build_job(x=f"{caller}-{number}") for number in range(MAX_BATCH_MAILS)] for caller in range(6)]
    requests = [asyncio.create_task(pool.render(batch, SOURCES)) for batch in jobs]
    await asyncio.sleep(0)
    for first in requests[:answers]:
        await first
    os.kill(before, signal.SIGKILL)
    for caller, task in enumerate(requests):
        assert subjects(await task) == [f"Hi {caller}-{number}" for number in range(MAX_BATCH_MAILS)]
    assert before not in children()


async def test_answers_larger_than_the_room_for_them(pool: RenderingPool) -> None:
    """A batch of mails of half a megabyte is complete, and so is the small batch after it."""
    large = [build_job("large", x=str(number), filling=[f"{number}" * 70] * 9000) for number in range(4)]
    first, second = await asyncio.gather(pool.render(large, SOURCES), pool.render([build_job(x="small")], SOURCES))
    assert subjects(first) == [f"Hi {number}" for number in range(4)]
    lines = [
        result.wire.count(str(number).encode() * 70)
        for number, result in enumerate(first)
        if isinstance(result, RenderedMail)
    ]
    assert lines == [9000] * 4
    assert subjects(second) == ["Hi small"]


async def test_children_work_side_by_side() -> None:
    """With two children one mail is rendered while the other child is blocked until the wall limit."""
    async with RenderingPool(children=2) as pool:
        slow = asyncio.create_task(pool.render([build_job("stubborn")], SOURCES))
        await asyncio.sleep(0)
        assert kinds(await pool.render([build_job()], SOURCES)) == [RenderedMail]
        assert not slow.done()
        assert await slow == [TOO_SLOW_FAULT]


async def test_a_version_is_sent_once_and_again_after_it_was_forgotten(pool: RenderingPool) -> None:
    """Parent and child evict the same versions from their caches."""
    versions = {f"v{number}": build_source(f"<p>{number}</p>") for number in range(MAX_KNOWN_VERSIONS + 1)}
    for start in range(0, len(versions), MAX_BATCH_MAILS):
        names = list(versions)[start : start + MAX_BATCH_MAILS]
        assert kinds(await pool.render([build_job(name) for name in names], versions)) == [RenderedMail] * len(names)
    assert (
        kinds(await pool.render([build_job("v0"), build_job(f"v{MAX_KNOWN_VERSIONS}")], versions)) == [RenderedMail] * 2
    )


async def test_stopping_leaves_no_process() -> None:
    """When the pool is closed, its children are gone, also one that was replaced."""
    before = children()
    async with RenderingPool(children=2) as pool:
        assert len(children()) == len(before) + 2
        os.kill(children()[0], signal.SIGKILL)
        await pool.render([build_job()], SOURCES)
        await pool.render([build_job()], SOURCES)  # either of the two took the child that was killed
        assert len(children()) == len(before) + 2
    assert children() == before


async def test_a_child_that_does_not_end_is_killed() -> None:
    """A child stopped by a signal does not delay the shutdown."""
    before = children()
    async with RenderingPool():
        (child,) = set(children()) - set(before)
        os.kill(child, signal.SIGSTOP)
    assert children() == before


@pytest.mark.parametrize(
    ("locale", "subject"),
    [
        ("fr-CA", "Changez votre mot de passe Larkspur"),
        ("fr-CH", "Réinitialisation de votre mot de passe Larkspur"),
        ("de", "Reset your Larkspur password"),
    ],
)
async def test_the_shipped_password_reset_in_the_closest_language(
    pool: RenderingPool, locale: str, subject: str
) -> None:
    """fr-CA has its own text, other French uses fr, German uses the default."""
    shipped = template_files.read_template(Path("templates"), "password_reset")
    render_job = RenderJob(version="v", locale=locale, variables=json.dumps(shipped.sample), header=HEADER)
    (result,) = await pool.render([render_job], {"v": shipped})
    assert isinstance(result, RenderedMail)
    message: Any = message_from_bytes(result.wire, policy=default)
    assert str(message["Subject"]) == subject


async def test_a_child_that_was_not_let_to_run_is_no_fault_of_the_mail(pool: RenderingPool) -> None:
    """A mail is rendered even if a busy host gives its child no processor for too long."""
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    assert kinds(await pool.render([build_job()], SOURCES)) == [RenderedMail]
    assert children() != [pid]
