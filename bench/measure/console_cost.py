"""(n) Mails per second while ten people use the console, compared with the same drain without them; a page's CPU."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from os import cpu_count
from urllib.parse import quote

import asyncpg
import httpx2

from bench.measure.console import COOKIE, MAIL
from bench.rig import process_tree
from bench.rig.child_process import Child, build_module_command, run_child
from bench.rig.installation import Installation, Installations
from bench.rig.queue_filler import fill_queue
from bench.rig.relay import Relay
from bench.rig.result_table import Figure, Table, compute_percentile, format_median
from bench.rig.sender_run import SenderSetup, run_drain

TEMPLATE = "receipt_inline"
PEOPLE = 10
PAUSE_SECONDS = (0.0, 1.0)
"""How long each person looks at a page before the next one."""
WEIGHED_ROUNDS = 10
BUSY = 503
"""The answer when more people read at once than the console serves."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    mails: int  # of each drain
    setup: SenderSetup


@dataclass(frozen=True, kw_only=True)
class PageCost:
    """The CPU seconds of a page."""

    site: float  # of the process with the console
    server: float  # of PostgreSQL


async def measure(made: Installations, relay: Relay, plan: Plan) -> Table:
    """Drain the same queue in turns: without people, and with people who pause for so long."""
    filled = await made.postgresql()
    await fill_queue(filled, TEMPLATE, plan.mails)
    rates: dict[float | None, list[float]] = {pause: [] for pause in (None, *PAUSE_SECONDS)}
    pages: dict[float | None, list[float]] = {pause: [] for pause in PAUSE_SECONDS}
    cost = await _weigh_page(filled)
    for _ in range(plan.rounds):
        for pause, measured in rates.items():
            installation = await made.copy(filled)
            async with _serve_console(installation) as (client, _), asyncio.TaskGroup() as group:
                paths = await _list_paths(installation)
                people = [
                    group.create_task(_use_console(client, paths[number:] + paths[:number], pause, pages[pause]))
                    for number in range(PEOPLE)
                    if pause is not None
                ]
                measured.append((await run_drain(installation, relay.port, plan.mails, plan.setup)).per_second)
                for person in people:
                    person.cancel()
            await made.remove(installation)
    await made.remove(filled)
    return _table(plan, cost, rates, pages)


@asynccontextmanager
async def _serve_console(installation: Installation) -> AsyncIterator[tuple[httpx2.AsyncClient, Child]]:
    async with run_child(build_module_command("measured_site"), installation.settings()) as site:
        port, token = (await site.line()).split()
        address, cookies = f"http://127.0.0.1:{port}", {COOKIE: token}
        async with httpx2.AsyncClient(base_url=address, cookies=cookies, timeout=60) as client:
            yield client, site


async def _weigh_page(installation: Installation) -> PageCost:
    """Measure the CPU time of a page, which other work on the machine changes little."""
    paths = await _list_paths(installation)
    server = await asyncpg.connect(installation.url)
    try:
        async with _serve_console(installation) as (client, site):
            for path in paths:  # the first of each kind prepares its statements and templates
                await client.get(path)
            backend = server.get_server_pid()
            before = process_tree.read_cpu_seconds(site.pid), process_tree.read_server_cpu_seconds(backend)
            for path in paths * WEIGHED_ROUNDS:
                await client.get(path)
            after = process_tree.read_cpu_seconds(site.pid), process_tree.read_server_cpu_seconds(backend)
    finally:
        await server.close()
    count = len(paths) * WEIGHED_ROUNDS
    return PageCost(site=(after[0] - before[0]) / count, server=(after[1] - before[1]) / count)


async def _list_paths(installation: Installation) -> list[str]:
    connection = await asyncpg.connect(installation.url)
    try:
        rows = await connection.fetch("SELECT id, recipient FROM notification ORDER BY md5(id::text) LIMIT 10")
    finally:
        await connection.close()
    paths = ["/console/", MAIL, f"{MAIL}?q=status:queued"]
    for row in rows:
        paths += [f"{MAIL}?q={quote(row['recipient'])}", f"{MAIL}/{row['id']}", f"{MAIL}/{row['id']}/state"]
    return paths


async def _use_console(
    client: httpx2.AsyncClient, paths: Sequence[str], pause: float | None, milliseconds: list[float]
) -> None:
    """Load one page after the other until cancelled."""
    for path in cycle(paths):
        reply = await client.get(path)
        if reply.status_code not in {200, BUSY}:
            raise AssertionError(f"{path}: {reply.status_code}")
        milliseconds.append(1000 * reply.elapsed.total_seconds())
        await asyncio.sleep(pause or 0)


def _table(
    plan: Plan, cost: PageCost, rates: dict[float | None, list[float]], pages: dict[float | None, list[float]]
) -> Table:
    share = PEOPLE * (cost.site + cost.server) / (cpu_count() or 1)
    figures = [
        Figure("CPU of a page: console, server", f"{1000 * cost.site:.1f} ms, {1000 * cost.server:.1f} ms"),
        Figure(f"{PEOPLE} people, a page a second each", f"{share:.1%} of this machine", is_headline=True),
        Figure("nobody", f"{format_median(rates[None], '{:,.0f}')} msg/s"),
    ]
    results = {"console.share_of_people": share}
    for pause in PAUSE_SECONDS:
        ratios = [with_people / without for with_people, without in zip(rates[pause], rates[None], strict=True)]
        name = f"{PEOPLE} people, {pause:g} s between pages"
        slow = compute_percentile(pages[pause], 95)
        times = f"{len(pages[pause]) / plan.rounds:,.0f} pages a drain, p95 {slow:.0f} ms"
        figures.append(Figure(f"{name} ÷ nobody", format_median(ratios, "{:.3f}"), is_headline=True))
        figures.append(Figure("  its pages", times))
        results[f"console.with_people_every_{pause:g}_s"] = statistics.median(ratios)
    return Table(
        title=f"(n) people in the console beside a drain of {plan.mails:,} mails", figures=figures, results=results
    )
