"""What rendering costs: each step, a mail in one process, and a mail through the pool.

Run with `python -m bench.rendering`; about a quarter of a minute. All figures but the rates are processor time.
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

from bench.process import ROOT
from bench.table import Figure, Table
from notifier.rendering.child import Child
from notifier.rendering.inline import inline_css
from notifier.rendering.job import Batch, Job, Mailbox, MailHeader, Render, Rendered
from notifier.rendering.language.sandbox import environment, render_limited
from notifier.rendering.mime import compose
from notifier.rendering.pool import LARGEST_BATCH, RenderingPool
from notifier.rendering.process import processor_seconds
from notifier.rendering.source import HTML, SUBJECT, TEXT, TemplateSource
from notifier.rendering.version import CompiledVersion
from notifier.templating.folder import files

SHIPPED = ("welcome", "password_reset", "order_shipped", "daily_report")
SHOWN = (
    ("bench/templates", "receipt_inline"),
    ("bench/templates", "receipt"),
    *(("templates", slug) for slug in SHIPPED),
)
STEP_RUNS, STEP_ROUNDS = 50, 5
POOL_MAILS, POOL_ROUNDS = 50 * LARGEST_BATCH, 3
CALLERS = 4  # batches asked for at the same time
HEADER = MailHeader(
    message_id="<019a9f6e-7c1e-7a2b-9d3c-5f1e2a7b8c9d@instance.example>",
    date=datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
    sender=Mailbox("notifier@instance.example", "Notifier"),
    recipient="ada@example.com",
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A template that is measured."""

    slug: str
    source: TemplateSource

    @property
    def job(self) -> Job:
        """A mail with the sample's variables."""
        variables = msgspec.json.encode(self.source.sample).decode()
        return Job(version=self.slug, locale=None, variables=variables, header=HEADER)


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """What one mail took through the pool."""

    parent: float  # processor seconds
    child: float
    rate: float  # mails per second


def main() -> None:
    """Measure and print."""
    for subject in subjects():
        print(table(subject))


def subjects() -> list[Subject]:
    """List the templates to measure, those of the benchmark first."""
    return [Subject(slug=slug, source=files.read(ROOT / folder, slug)) for folder, slug in SHOWN]


def table(subject: Subject) -> Table:
    """Measure one template. Keeps this process busy for some seconds."""
    child = Child()
    child.answer(Render(jobs=[], sources={subject.slug: subject.source}))
    (rendered,) = _render(child, subject, 1)
    assert isinstance(rendered, Rendered), rendered
    together = _micro(lambda: _render(child, subject, 1))
    figures = [Figure(name, f"{cost:.0f} µs") for name, cost in _steps(subject)]
    figures.append(Figure("all in one process", f"{together:.0f} µs"))
    for children in (1, 2):
        pooled = asyncio.run(_pooled(subject, children))
        extra = (pooled.parent + pooled.child) * 1e6 - together
        cost = f"{pooled.child * 1e6:.0f} µs in the child, {pooled.parent * 1e6:.0f} µs in the parent"
        figures.append(Figure(f"pool of {children}", f"{cost}, {pooled.rate:,.0f} mails/s; isolation {extra:+.0f} µs"))
    return Table(title=f"(k) rendering {subject.slug}: a mail of {len(rendered.wire):,} octets", figures=figures)


def _render(child: Child, subject: Subject, mails: int) -> Sequence[object]:
    """So many mails in this process; the child has the source already."""
    answer = child.answer(Render(jobs=[subject.job] * mails, sources={}))
    assert isinstance(answer, Batch)
    return answer.results


def _steps(subject: Subject) -> list[tuple[str, float]]:
    """Each step's cost in µs, as the child takes them one after the other."""
    source = subject.source
    parts = CompiledVersion(source).render(None, source.sample)
    values = {**source.sample, "locale": source.settings.locale, "subject": parts.subject}
    templates = {
        part: environment(source.files, autoescape=part == HTML).get_template(part) for part in (SUBJECT, HTML, TEXT)
    }
    html = render_limited(templates[HTML], values)
    steps: dict[str, Callable[[], object]] = {
        **{part: partial(render_limited, template, values) for part, template in templates.items()},
        "inline the styles": lambda: inline_css(html),
        "compose": lambda: compose(HEADER, parts),
    }
    return [(name, _micro(step)) for name, step in steps.items()]


def _micro(step: Callable[[], object]) -> float:
    """The lowest of several rounds: whatever else the machine does can only add to it."""
    rounds = []
    for _ in range(STEP_ROUNDS):
        began = time.process_time()
        for _ in range(STEP_RUNS):
            step()
        rounds.append((time.process_time() - began) / STEP_RUNS)
    return min(rounds) * 1e6


async def _pooled(subject: Subject, children: int) -> Pooled:
    async with RenderingPool(children=children) as pool:
        await _through(pool, subject, CALLERS * LARGEST_BATCH)  # every child has compiled it
        runs = [await _measured(pool, subject) for _ in range(POOL_ROUNDS)]
    return Pooled(
        parent=min(run.parent for run in runs),
        child=min(run.child for run in runs),
        rate=statistics.median(run.rate for run in runs),
    )


async def _measured(pool: RenderingPool, subject: Subject) -> Pooled:
    before, own, began = _children_seconds(), time.process_time(), time.perf_counter()
    await _through(pool, subject, POOL_MAILS)
    seconds = time.perf_counter() - began
    return Pooled(
        parent=(time.process_time() - own) / POOL_MAILS,
        child=(_children_seconds() - before) / POOL_MAILS,
        rate=POOL_MAILS / seconds,
    )


async def _through(pool: RenderingPool, subject: Subject, mails: int) -> None:
    """So many mails, asked for by several callers at once, a batch at a time."""
    sources = {subject.slug: subject.source}
    batches = iter(range(mails // LARGEST_BATCH))

    async def call() -> None:
        for _ in batches:
            jobs = [subject.job] * LARGEST_BATCH
            for result in await pool.render(jobs, sources):
                assert isinstance(result, Rendered), result

    await asyncio.gather(*(call() for _ in range(CALLERS)))


def _children_seconds() -> float:
    return sum(processor_seconds(process.pid) for process in multiprocessing.active_children())


if __name__ == "__main__":
    main()
