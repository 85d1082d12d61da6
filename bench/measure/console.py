"""(m) Duration of the console's pages of mail over years of mails, of few and of many services."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from urllib.parse import quote

import asyncpg
import httpx2

from bench.rig import mail_history
from bench.rig.child_process import build_module_command, run_child
from bench.rig.installation import Installations
from bench.rig.result_table import Figure, Table, compute_percentile

GOAL_MS = 150
COOKIE = "notifier-on-this-machine"
MAIL = "/console/mail"
_MAX_SECONDS = 15.0  # of one kind of page


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rows: int
    services: Sequence[int]  # one database for each number
    requests: int  # for each kind of page


async def measure(made: Installations, plan: Plan, services: int) -> Table:
    """Fill a database, and load one page after the other."""
    installation = await made.postgresql()
    started = time.perf_counter()
    await mail_history.fill_history(installation, plan.rows, mail_history.divide_shares(services))
    filling = time.perf_counter() - started
    connection = await asyncpg.connect(installation.url)
    try:
        pages = await _list_pages(connection)
    finally:
        await connection.close()
    times: dict[str, list[float]] = {}
    async with run_child(build_module_command("measured_site"), installation.settings()) as site:
        port, token = (await site.line()).split()
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", cookies={COOKIE: token}, timeout=60
        ) as client:
            for name, paths in pages.items():
                times[name] = await _load(client, paths, plan.requests)
    await made.remove(installation)
    return _table(plan, services, times, filling)


async def _list_pages(connection: asyncpg.Connection) -> dict[str, list[str]]:
    rows = await connection.fetch(
        "SELECT id, recipient, tags ->> 0 AS tag FROM notification ORDER BY md5(id::text) LIMIT 50"
    )
    busiest = await connection.fetchval("SELECT recipient FROM notification GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    searches = {
        "an address": [row["recipient"] for row in rows],
        "the busiest address": [busiest],
        "an address that is not there": ["nobody@example.com"],
        "letters": ["read", "x"],
        "a tag": [f"tag:{row['tag']}" for row in rows if row["tag"]],
        "a template": [f"template:template-{number}" for number in range(mail_history.TEMPLATES)],
        "status:failed": ["status:failed"],
        "status:queued": ["status:queued"],
        "template and status": [f"template:template-{number} status:failed" for number in range(20)],
    }
    ids = [str(row["id"]) for row in rows]
    return {
        "home": ["/console/"],
        "newest mail": [MAIL],
        **{f"search {name}": [f"{MAIL}?q={quote(one)}" for one in texts] for name, texts in searches.items()},
        "one mail": [f"{MAIL}/{id_}" for id_ in ids],
        "its state": [f"{MAIL}/{id_}/state" for id_ in ids],
    }


async def _load(client: httpx2.AsyncClient, paths: Sequence[str], requests: int) -> list[float]:
    """Milliseconds of each page; the first one is not counted."""
    times: list[float] = []
    until = time.perf_counter() + _MAX_SECONDS
    for path in islice(cycle(paths), requests + 1):
        started = time.perf_counter()
        reply = await client.get(path)
        times.append(1000 * (time.perf_counter() - started))
        if reply.status_code != 200:
            raise AssertionError(f"{path}: {reply.status_code} after {times[-1]:.0f} ms")
        if time.perf_counter() > until:
            break
    return times[1:] or times


def _table(plan: Plan, services: int, times: dict[str, list[float]], filling: float) -> Table:
    figures = [Figure("filled in", f"{filling:.0f} s")]
    for name, values in times.items():
        half, most = compute_percentile(values, 50), compute_percentile(values, 95)
        figures.append(Figure(name, f"{half:.1f} ms, p95 {most:.1f} ms"))
    slowest = max(times, key=lambda name: compute_percentile(times[name], 95))
    worst = compute_percentile(times[slowest], 95)
    figures.append(Figure("slowest p95", f"{worst:.0f} ms: {slowest} (goal {GOAL_MS} ms)", is_headline=True))
    return Table(
        title=f"(m) console: {plan.rows:,} notifications of {services} services",
        figures=figures,
        results={f"console.slowest_p95_of_{services}": worst / 1000},
    )
