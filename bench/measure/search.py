"""(g) Duration of `GET /v1/notifications` over years of mails, by each filter alone and by some together."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle, islice
from typing import Any
from urllib.parse import urlencode

import asyncpg

from bench.rig import mail_history
from bench.rig.child_process import build_module_command, run_child
from bench.rig.http_load import is_whole
from bench.rig.installation import Installations
from bench.rig.mail_history import BEHIND, BIG, SMALL, SPAN, History
from bench.rig.result_table import Figure, Table, compute_percentile
from notifier.ids import get_first_id
from notifier.states import Status

Query = dict[str, Any]
GOAL_MS = 50
PATH = "/v1/notifications"
_MAX_SECONDS = 20.0  # of one case; slow cases need fewer requests
_PLACES = {"first": BIG, "deep": BIG, "small": SMALL, "behind": BEHIND}
"""The four pages: first and a year back of the big service, first of the small one, first of the one with a backlog."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rows: int
    requests: int  # for each filter at each place


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of search, and the values to search for."""

    name: str
    queries: Sequence[Query]
    is_alone: bool = True  # one filter, not several
    times: dict[str, list[float]] = field(default_factory=dict)  # milliseconds, by place


async def measure(made: Installations, plan: Plan) -> Table:
    """Fill a database, and send a real API process one request after the other."""
    installation = await made.postgresql()
    started = time.perf_counter()
    filled = await mail_history.fill_history(installation, plan.rows)
    filling = time.perf_counter() - started
    connection = await asyncpg.connect(installation.url)
    try:
        cases = await _cases(connection, filled)
        octets = await connection.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await connection.close()
    settings = installation.settings()
    async with run_child(build_module_command("measured_api"), settings) as api:
        port = int(await api.line())
        for place, service in _PLACES.items():
            async with _asking(port, filled.keys[service]) as ask:
                await ask({})  # from now on the key is cached
                for case in cases:
                    case.times[place] = await _times(ask, case, place, filled, plan)
    await made.remove(installation)
    return _table(plan, cases, filling, octets)


async def _times(ask: "Ask", case: Case, place: str, filled: History, plan: Plan) -> list[float]:
    """Milliseconds of each request of a case."""
    back = {"before": str(get_first_id(filled.begin + SPAN / 2))} if place == "deep" else {}
    times: list[float] = []
    until = time.perf_counter() + _MAX_SECONDS
    for query in islice(cycle(case.queries), plan.requests):
        times.append(1000 * await ask(query | back))
        if time.perf_counter() > until:
            break
    return times


async def _cases(connection: asyncpg.Connection, filled: History) -> list[Case]:
    """List each filter with existing values, as frequent as in the rows, and with values that do not occur."""
    big = f"service_id = '{filled.services[BIG]}'"
    sampled = (
        f"FROM notification TABLESAMPLE SYSTEM ({min(100, 40_000_000 / filled.count):.4f}) REPEATABLE (1) WHERE {big}"
    )
    rows = await connection.fetch(f"SELECT recipient, created_at {sampled} ORDER BY random() LIMIT 50")
    tagged = await connection.fetch(f"SELECT tags ->> 0 AS tag {sampled} AND tags IS NOT NULL LIMIT 50")
    batches = await connection.fetch(f"SELECT id FROM batch WHERE {big} ORDER BY random() LIMIT 50")
    busiest = await connection.fetchval(f"SELECT recipient {sampled} GROUP BY 1 ORDER BY count(*) DESC LIMIT 1")
    to = [{"to": row["recipient"]} for row in rows]
    days = [
        {"created_after": row["created_at"], "created_before": row["created_at"] + timedelta(days=1)} for row in rows
    ]
    templates = [{"template": f"template-{number}"} for number in range(mail_history.TEMPLATES)]
    tags = [{"tag": row["tag"]} for row in tagged]
    nothing = "00000000-0000-7000-8000-ffffffffffff"
    return [
        Case(name="nothing", queries=[{}]),
        *(Case(name=f"status={name}", queries=[{"status": name}]) for name in ("scheduled", *Status)),
        Case(name="to", queries=to),
        Case(name="to, the busiest", queries=[{"to": busiest}]),
        Case(name="template", queries=templates),
        Case(name="tag", queries=tags),
        Case(name="batch", queries=[{"batch_id": row["id"]} for row in batches]),
        Case(name="created_after", queries=[{"created_after": day["created_after"]} for day in days]),
        Case(name="created_before", queries=[{"created_before": day["created_before"]} for day in days]),
        Case(name="a day", queries=days),
        Case(
            name="to, template, tag or batch that is not there",
            queries=[{"to": "no@example.com"}, {"template": "no"}, {"tag": "no"}, {"batch_id": nothing}],
        ),
        *(
            Case(
                name=name,
                queries=[
                    first_query | second_query for first_query, second_query in zip(first, cycle(second), strict=False)
                ],
                is_alone=False,
            )
            for name, first, second in (
                ("to + status=failed", to, [{"status": "failed"}]),
                ("template + status=failed", templates, [{"status": "failed"}]),
                ("tag + status=failed", tags, [{"status": "failed"}]),
                ("template + a day", templates, days),
                ("tag + a day", tags, days),
                ("template + to", templates, to),
                ("tag + template", tags, templates),
                ("a day + status=sent", days, [{"status": "sent"}]),
                ("a day + status=failed", days, [{"status": "failed"}]),
            )
        ),
    ]


class Ask:
    """One keep-alive connection of a caller."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n"

    async def __call__(self, query: Query) -> float:
        """Request a page; return seconds until it is complete. Raises `AssertionError` unless it is a page."""
        request = f"GET {PATH}?{urlencode(query)} HTTP/1.1\r\n{self._head}".encode()
        started, answer = time.perf_counter(), b""
        self._writer.write(request)
        while not is_whole(answer):
            more = await self._reader.read(1 << 20)
            if not more:
                raise ConnectionError("the server closed the connection")
            answer += more
        seconds = time.perf_counter() - started
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")):  # 503: it would have taken even longer
            raise AssertionError(answer.decode(errors="replace"))
        return seconds


@asynccontextmanager
async def _asking(port: int, key: str) -> AsyncIterator[Ask]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Ask(reader, writer, key)
    finally:
        writer.close()


def _table(plan: Plan, cases: Sequence[Case], filling: float, octets: int) -> Table:
    alone = [case for case in cases if case.is_alone]
    slow = [case.name for case in alone if _slowest(case) > GOAL_MS]
    slowest = max(alone, key=_slowest)
    return Table(
        title=f"(g) search: pages of 50 of {plan.rows:,} notifications, p50 / p95 / max in ms",
        figures=[
            Figure("rows filled in", f"{filling:.0f} s, {octets / 1e9:.1f} GB"),
            *(Figure(case.name, "; ".join(_shown(place, case.times[place]) for place in _PLACES)) for case in cases),
            Figure("slowest filter alone, p95", f"{slowest.name}: {_slowest(slowest):,.1f} ms", is_headline=True),
            Figure(f"filters alone beyond {GOAL_MS} ms", ", ".join(slow) or "none", is_headline=True),
        ],
        results={"search.slowest_p95": _slowest(slowest) / 1000},
    )


def _shown(place: str, times: Sequence[float]) -> str:
    return f"{place} {compute_percentile(times, 50):,.1f} / {compute_percentile(times, 95):,.1f} / {max(times):,.0f}"


def _slowest(case: Case) -> float:
    """Return the largest p95 of the places, in milliseconds."""
    return max(compute_percentile(times, 95) for times in case.times.values())
