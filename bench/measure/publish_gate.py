"""(i) Duration of the publish gate and of a publish, among many templates with many versions each."""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
from msgspec.structs import replace

from bench.rig.child_process import ROOT
from bench.rig.installation import Installation, Installations
from bench.rig.queue_filler import fill_queue
from bench.rig.result_table import Figure, Table, format_median
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.rendering.preview_pool import PreviewPool
from notifier.template_language.template_source import HTML, TemplateSource
from notifier.templating import validation, version_store
from notifier.templating.publish_gate import PublishGate
from notifier.templating.sync import template_files
from notifier.templating.version_store import Publication

SLUG = "order_shipped"  # with ten items
GATE_GOAL, PUBLISH_GOAL = 2000, 200  # milliseconds
_MORE_TEMPLATES = """
INSERT INTO template (id, slug, current_number, created_at)
SELECT gen_random_uuid(), 'template-' || n, $2, now() FROM generate_series(1, $1::int) AS n
"""
_MORE_VERSIONS = """
INSERT INTO template_version ({names})
SELECT {values} FROM template_version AS p, template AS t, generate_series(1, $2::int) AS n
WHERE p.id = $1 AND (t.id <> p.template_id OR n <> p.number)
  AND (t.slug LIKE 'template-%' OR t.id = p.template_id)
"""
# Old requests were made with other versions.
_SPREAD = """
UPDATE notification AS n SET template_version_id = v.id FROM template_version AS v
WHERE v.template_id = n.template_id AND v.number = 1 + abs(hashtext(n.id::text)) % $1::int
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    templates: int
    versions: int  # of each
    payloads: int


async def measure(made: Installations, plan: Plan) -> Table:
    """Fill a database, then run the gate and publish repeatedly."""
    installation = await made.postgresql()
    await fill_queue(installation, SLUG, plan.payloads)
    await _fill(installation, plan)
    database, clock, pool = Database(installation.url), SystemClock(), PreviewPool()
    try:
        looks, publishes, progress_calls = await _times(database, pool, clock, plan)
    finally:
        await pool.aclose()
        await database.close()
    await made.remove(installation)
    results = {"gate.look": statistics.median(looks), "gate.publish": statistics.median(publishes)}
    size = f"{plan.templates:,} templates of {plan.versions} versions"
    return Table(
        title=f"(i) publishing: {SLUG}, among {size}, {plan.rounds} rounds",
        figures=[
            Figure(
                f"gate over {plan.payloads} payloads (≤ {GATE_GOAL} ms)",
                f"{format_median(looks, '{:,.0f}')} ms",
                is_headline=True,
            ),
            Figure("  told how far it is", f"{progress_calls} times"),
            Figure(
                f"check and publish (≤ {PUBLISH_GOAL} ms)",
                f"{format_median(publishes, '{:,.0f}')} ms",
                is_headline=True,
            ),
        ],
        results=results,
    )


async def _fill(installation: Installation, plan: Plan) -> None:
    """Create many templates with as many versions as ours, each with a whole source."""
    connection = await asyncpg.connect(installation.url)
    try:
        like = await connection.fetchval(
            "SELECT v.id FROM template_version AS v JOIN template AS t ON t.id = v.template_id WHERE t.slug = $1", SLUG
        )
        await connection.execute(_MORE_TEMPLATES, plan.templates, plan.versions)
        columns = await connection.fetch(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'template_version' AND table_schema = 'public'"
        )
        names = [row["column_name"] for row in columns]
        changed = {"id": "gen_random_uuid()", "template_id": "t.id", "number": "n"}
        values = ", ".join(changed.get(name, f"p.{name}") for name in names)
        await connection.execute(_MORE_VERSIONS.format(names=", ".join(names), values=values), like, plan.versions)
        await connection.execute("UPDATE template SET current_number = $1 WHERE slug = $2", plan.versions, SLUG)
        await connection.execute(_SPREAD, plan.versions)
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


async def _times(
    database: Database, pool: PreviewPool, clock: SystemClock, plan: Plan
) -> tuple[list[float], list[float], int]:
    """Return milliseconds of each gate run and each publish, and how often the gate reported progress."""
    gate, source = (
        PublishGate(database.read, pool, clock, "notifier@instance.example"),
        template_files.read_template(ROOT / "templates", SLUG),
    )
    looks, publishes, progress_calls = [], [], []
    for number in range(plan.rounds):
        draft = _edited(source, number)
        report = await pool.check(draft)
        assert not (faults := validation.list_publish_faults(report)), faults

        def note_progress(*step: int) -> None:
            progress_calls.append(step)

        async def look(draft: TemplateSource = draft) -> None:
            outcome = await gate.try_source(SLUG, draft, report, progress=note_progress)  # noqa: B023
            assert (outcome.looked, outcome.changed) == (plan.payloads, plan.payloads), outcome
            assert not outcome.blocks, outcome

        async def publish(draft: TemplateSource = draft) -> None:
            checked = await pool.check(draft)
            async with database.write() as connection:
                await version_store.write_version(
                    connection, SLUG, draft, checked, Publication(by="bench", at=clock.now())
                )

        looks.append(await _milliseconds(look))
        publishes.append(await _milliseconds(publish))
    return looks, publishes, len(progress_calls) // plan.rounds


def _edited(source: TemplateSource, number: int) -> TemplateSource:
    """Return the source with a change, a different one each time."""
    html = source.files[HTML].replace("{% endblock %}", f"<p>Edited {number} times.</p>\n{{% endblock %}}")
    assert html != source.files[HTML]
    return replace(source, files=source.files | {HTML: html})


async def _milliseconds(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return 1000 * (time.perf_counter() - began)
