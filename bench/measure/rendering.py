"""(k) The cost of rendering: each step, a mail in one process, and a mail through the pool.

Run with `python -m bench.measure.rendering`, about a quarter of a minute. All figures but rates are processor time.
"""

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec

from bench.rig.child_process import ROOT
from bench.rig.result_table import Figure, Table
from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedMail
from notifier.mail.mime_document import build_mime_message
from notifier.mail.style_inliner import inline_styles
from notifier.rendering.child_process import get_cpu_seconds
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.pool import MAX_BATCH_MAILS, RenderingPool
from notifier.rendering.protocol import RenderBatchAnswer, RenderBatchRequest, RenderJob
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.sandbox import create_environment, render_limited
from notifier.template_language.template_source import HTML, SUBJECT, TEXT, TemplateSource
from notifier.templating.sync import template_files

SHIPPED = ("welcome", "password_reset", "order_shipped", "daily_report")
SHOWN = (
    ("bench/templates", "receipt_inline"),
    ("bench/templates", "receipt"),
    *(("templates", slug) for slug in SHIPPED),
)
STEP_RUNS, STEP_ROUNDS = 50, 5
POOL_MAILS, POOL_ROUNDS = 50 * MAX_BATCH_MAILS, 3
CALLERS = 4  # batches at the same time
HEADER = MailHeader(
    message_id="<019a9f6e-7c1e-7a2b-9d3c-5f1e2a7b8c9d@instance.example>",
    date=datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
    sender=Mailbox("notifier@instance.example", "Notifier"),
    recipient="ada@example.com",
)


@dataclass(frozen=True, kw_only=True)
class RenderSubject:
    """A template that is measured."""

    slug: str
    source: TemplateSource

    @property
    def job(self) -> RenderJob:
        """A mail with the sample's variables."""
        variables = msgspec.json.encode(self.source.sample).decode()
        return RenderJob(version=self.slug, locale=None, variables=variables, header=HEADER)


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """The cost of one mail through the pool."""

    parent: float  # processor seconds
    child: float
    rate: float  # mails per second


def main() -> None:
    """Measure and print."""
    for subject in list_subjects():
        print(measure_subject(subject))


def list_subjects() -> list[RenderSubject]:
    """List the templates to measure, those of the benchmark first."""
    return [
        RenderSubject(slug=slug, source=template_files.read_template(ROOT / folder, slug)) for folder, slug in SHOWN
    ]


def measure_subject(subject: RenderSubject) -> Table:
    """Measure one template. Keeps this process busy for some seconds."""
    child = RenderingChild()
    child.answer_request(RenderBatchRequest(jobs=[], sources={subject.slug: subject.source}))
    (rendered,) = _render(child, subject, 1)
    assert isinstance(rendered, RenderedMail), rendered
    together = _micro(lambda: _render(child, subject, 1))
    figures = [Figure(name, f"{cost:.0f} µs") for name, cost in _steps(subject)]
    figures.append(Figure("all in one process", f"{together:.0f} µs"))
    for children in (1, 2):
        pooled = asyncio.run(_pooled(subject, children))
        extra = (pooled.parent + pooled.child) * 1e6 - together
        cost = f"{pooled.child * 1e6:.0f} µs in the child, {pooled.parent * 1e6:.0f} µs in the parent"
        figures.append(Figure(f"pool of {children}", f"{cost}, {pooled.rate:,.0f} mails/s; isolation {extra:+.0f} µs"))
    return Table(title=f"(k) rendering {subject.slug}: a mail of {len(rendered.wire):,} octets", figures=figures)


def _render(child: RenderingChild, subject: RenderSubject, mails: int) -> Sequence[object]:
    """Render mails in this process, which has already compiled the source."""
    answer = child.answer_request(RenderBatchRequest(jobs=[subject.job] * mails, sources={}))
    assert isinstance(answer, RenderBatchAnswer)
    return answer.results


def _steps(subject: RenderSubject) -> list[tuple[str, float]]:
    """Measure each step's cost in µs, in the child's order."""
    source = subject.source
    parts = CompiledVersion(source).render(None, source.sample)
    values = {**source.sample, "locale": source.settings.locale, "subject": parts.subject}
    templates = {
        part: create_environment(source.files, autoescape=part == HTML).get_template(part)
        for part in (SUBJECT, HTML, TEXT)
    }
    html = render_limited(templates[HTML], values)
    steps: dict[str, Callable[[], object]] = {
        **{part: partial(render_limited, template, values) for part, template in templates.items()},
        "inline the styles": lambda: inline_styles(html),
        "compose": lambda: build_mime_message(HEADER, parts),
    }
    return [(name, _micro(step)) for name, step in steps.items()]


def _micro(step: Callable[[], object]) -> float:
    """Return the lowest of several rounds, because other load can only add to it."""
    rounds = []
    for _ in range(STEP_ROUNDS):
        began = time.process_time()
        for _ in range(STEP_RUNS):
            step()
        rounds.append((time.process_time() - began) / STEP_RUNS)
    return min(rounds) * 1e6


async def _pooled(subject: RenderSubject, children: int) -> Pooled:
    async with RenderingPool(children=children) as pool:
        await _through(pool, subject, CALLERS * MAX_BATCH_MAILS)  # every child has compiled it
        rounds = [await _measured(pool, subject) for _ in range(POOL_ROUNDS)]
    return Pooled(
        parent=min(round_.parent for round_ in rounds),
        child=min(round_.child for round_ in rounds),
        rate=statistics.median(round_.rate for round_ in rounds),
    )


async def _measured(pool: RenderingPool, subject: RenderSubject) -> Pooled:
    before, own, began = _children_seconds(), time.process_time(), time.perf_counter()
    await _through(pool, subject, POOL_MAILS)
    seconds = time.perf_counter() - began
    return Pooled(
        parent=(time.process_time() - own) / POOL_MAILS,
        child=(_children_seconds() - before) / POOL_MAILS,
        rate=POOL_MAILS / seconds,
    )


async def _through(pool: RenderingPool, subject: RenderSubject, mails: int) -> None:
    """Render mails through the pool for several concurrent callers, a batch at a time."""
    sources = {subject.slug: subject.source}
    batches = iter(range(mails // MAX_BATCH_MAILS))

    async def call() -> None:
        for _ in batches:
            jobs = [subject.job] * MAX_BATCH_MAILS
            for result in await pool.render(jobs, sources):
                assert isinstance(result, RenderedMail), result

    await asyncio.gather(*(call() for _ in range(CALLERS)))


def _children_seconds() -> float:
    return sum(get_cpu_seconds(process.pid) for process in multiprocessing.active_children())


if __name__ == "__main__":
    main()
