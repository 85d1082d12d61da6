"""`python -m bench.statistics`: the roll-up of a busy hour, and the figures of a year, on PostgreSQL.

The roll-up counts an hour of many notifications as its job does, and again after each of them has changed; its longest
transaction is shown (goal 100 ms). `GET /v1/stats?by=day` shows a year of all services and of a single one, from counts
that are written directly (goal: p95 150 ms).
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from os import getloadavg

import asyncpg
import httpx2

from bench.merge import open_client
from bench.rig.installation import Installation, Installations, open_installations
from bench.rig.queue_filler import fill_queue
from bench.rig.result_table import Figure, Table, compute_percentile
from bench.rig.row_copies import copy_row
from notifier.auth import key_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES
from notifier.auth.key_admin import NewKey
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.statistics import roll_up

TEMPLATE = "welcome"
SERVICES, TEMPLATES = 200, 20
"""Services, and templates of each."""
REQUESTS = 40
_CHUNK, _FILL_SECONDS = 100_000, 900
_ID = "(lpad(to_hex(ms), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid"
_UUID = "(lpad(to_hex({number}), 32, '0'))::uuid"
_AT = "to_timestamp(ms / 1000.0)"
_STATUS = "(ARRAY['sent', 'sent', 'sent', 'sent', 'sent', 'sent', 'delivered', 'bounced', 'failed', 'expired'])"
_CHOICES = f"""1 + floor({SERVICES} * random() ^ 2)::int8 AS service, floor({TEMPLATES} * random())::int8 AS template,
{_STATUS}[1 + floor(random() * 10)::int] AS status"""
_NOTIFICATIONS = f"""SELECT n, {{start}}::int8 + n * 3600000 / {{count}} AS ms, {_CHOICES}
FROM generate_series({{first}}::int8, {{last}}) AS n"""
_ATTEMPTS = """INSERT INTO attempt
(id, notification_id, entry_id, lease_no, number, phase, outcome, reply, started_at, duration_ms)
SELECT id, id, id, 1, 1, 'data', 'accepted', '250 2.0.0 Ok: queued as 4Zy',
send_at + random() * random() * interval '20 seconds', 30
FROM notification WHERE status IN ('sent', 'delivered', 'bounced')"""
_CHANGE_ALL = """UPDATE notification SET status = CASE status WHEN 'sent' THEN 'delivered' ELSE 'bounced' END
WHERE status IN ('sent', 'delivered')"""
_COUNTS = f"""INSERT INTO statistics_count (first_id, quarter, service_id, template_id, status, reason, bucket, number)
SELECT (lpad(to_hex(hour * 3600000), 12, '0') || repeat('0', 20))::uuid, hour * 4 + floor(random() * 4)::int8,
{_UUID.format(number="service")}, {_UUID.format(number="service * 1000 + template")}, status,
CASE status WHEN 'failed' THEN 'recipient_refused' ELSE '' END,
CASE WHEN status IN ('failed', 'expired') THEN -1 ELSE floor(14 * random() * random())::int END, ceil(20 * random())
FROM (SELECT hour, {_CHOICES} FROM generate_series($1::int8, $2::int8) AS hour, generate_series(1, $3::int) AS n) AS d
ON CONFLICT DO NOTHING"""
_RANGES = """INSERT INTO statistics_range (first_id, counted_at, due_at, revision)
SELECT (lpad(to_hex(hour * 3600000), 12, '0') || repeat('0', 20))::uuid, now(), now() + interval '1 year', 1
FROM generate_series($1::int8, $2::int8) AS hour"""
_TOTALS = """INSERT INTO statistics_hour (service_id, hour, measure, number)
SELECT {owner}, quarter / 4, {measure}, sum(number) FROM statistics_count WHERE {where} GROUP BY 1, 2, 3"""
_MEASURES = (("status || ':' || reason", "true"), ("bucket::text", "bucket >= 0"))


async def fill_hour(installation: Installation, count: int) -> None:
    """Write notifications of one hour, of many services and templates, with an attempt each if they were accepted."""
    await fill_queue(installation, TEMPLATE, 1)
    start = int((datetime.now(UTC) - timedelta(hours=3)).timestamp() * 1000)
    connection = await asyncpg.connect(installation.url)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        await connection.execute("DELETE FROM outbox_entry")
        model = await connection.fetchval("SELECT id::text FROM notification")
        values = {
            "id": _ID,
            "service_id": _UUID.format(number="service"),
            "template_id": _UUID.format(number="service * 1000 + template"),
            "status": "d.status",
            "reason": "CASE WHEN d.status = 'failed' THEN 'recipient_refused' END",
            "idempotency_key": "NULL",
            "message_id": "'<' || n || '@bench.example>'",
            "expires_at": f"{_AT} + interval '3 days'",
        } | dict.fromkeys(("message_date", "send_at", "created_at", "updated_at"), _AT)
        for first in range(1, count + 1, _CHUNK):
            rows = _NOTIFICATIONS.format(start=start, count=count, first=first, last=min(first + _CHUNK - 1, count))
            await copy_row(connection, "notification", where=f"p.id = '{model}'", rows=rows, values=values)
        await connection.execute(f"DELETE FROM notification WHERE id = '{model}'")
        await connection.execute(_ATTEMPTS, timeout=_FILL_SECONDS)
        await connection.execute("VACUUM (ANALYZE)", timeout=_FILL_SECONDS)
    finally:
        await connection.close()


async def measure_roll_up(made: Installations, count: int) -> Table:
    """Count the hour as the job does, and again after all has changed; time each writing transaction."""
    installation = await made.postgresql()
    await fill_hour(installation, count)
    database, now = Database(installation.url), datetime.now(UTC)
    async with database.write():
        pass  # so that the first transaction does not wait for its connection
    figures = []
    for name, now_due in (("first count", now), ("count after a change of all", now + timedelta(days=2))):
        begun = time.perf_counter()
        times = await _count_all(database, now_due)
        seconds = time.perf_counter() - begun
        figures += [
            Figure(name, f"{seconds:.1f} s, {len(times):,} steps"),
            Figure("  writing transaction p50, p99, longest (goal 100 ms)", _format_times(times), is_headline=True),
        ]
        await _change_all(installation)
    await database.close()
    await made.remove(installation)
    title = f"roll-up of {count:,} notifications of an hour, {SERVICES} services with {TEMPLATES} templates"
    return Table(title=title, figures=figures)


async def _count_all(database: Database, now: datetime) -> list[float]:
    times = []
    while counted := await roll_up.count_due_ranges(database, now):
        started = time.perf_counter()
        async with database.write() as connection:
            await roll_up.write_counted_ranges(connection, counted, now)
        times.append(time.perf_counter() - started)
    return times


async def _change_all(installation: Installation) -> None:
    connection = await asyncpg.connect(installation.url)
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(_CHANGE_ALL, timeout=_FILL_SECONDS)
        await connection.execute("VACUUM (ANALYZE)", timeout=_FILL_SECONDS)
    finally:
        await connection.close()


def _format_times(times: Sequence[float]) -> str:
    return ", ".join(f"{1000 * compute_percentile(times, q):.0f} ms" for q in (50, 99, 100))


async def fill_year(installation: Installation, counts: int) -> int:
    """Write ranges, counts and totals of a year, so many counts each hour; returns how many counts there are."""
    last = int(datetime.now(UTC).timestamp()) // 3600
    connection = await asyncpg.connect(installation.url)
    try:
        await connection.execute("SET synchronous_commit = off")
        first = last - 366 * 24
        await connection.execute(_RANGES, first, last)
        for hour in range(first, last, 24 * 15):
            await connection.execute(_COUNTS, hour, min(hour + 24 * 15, last) - 1, counts, timeout=_FILL_SECONDS)
        for owner in ("service_id", "'00000000-0000-0000-0000-000000000000'::uuid"):
            for measure, where in _MEASURES:
                total = _TOTALS.format(owner=owner, measure=measure, where=where)
                await connection.execute(total, timeout=_FILL_SECONDS)
        busiest = {"id": _UUID.format(number=1), "name": "'busiest'"}
        await copy_row(connection, "service", where="p.name = 'bench'", rows="SELECT 1", values=busiest)
        await connection.execute("VACUUM (ANALYZE)", timeout=_FILL_SECONDS)
        return int(await connection.fetchval("SELECT count(*) FROM statistics_count"))
    finally:
        await connection.close()


async def measure_year(made: Installations, counts: int) -> Table:
    """Ask for a year by day, again and again."""
    installation = await made.postgresql()
    stored = await fill_year(installation, counts)
    database = Database(installation.url)
    async with database.write() as connection:
        _, admin = await key_admin.insert_key(connection, None, NewKey(scopes=ADMIN_SCOPES), now=SystemClock().now())
    await database.close()
    figures = []
    async with open_client(installation) as client:
        client.headers["Authorization"] = f"Bearer {admin}"
        for name, query in (
            ("all services, days of UTC", {"zone": "UTC"}),
            ("all services, days of Berlin", {"zone": "Europe/Berlin"}),
            ("all services, days of Kolkata (half an hour)", {"zone": "Asia/Kolkata"}),
            ("the busiest service, days of Berlin", {"zone": "Europe/Berlin", "service": "busiest"}),
        ):
            times = await _ask(client, query)
            shown = f"{1000 * compute_percentile(times, 50):.0f} ms, {1000 * compute_percentile(times, 95):.0f} ms"
            figures.append(Figure(f"{name}: p50, p95", shown, is_headline=True))
    return Table(title=f"GET /v1/stats of a year by day, from {stored:,} counts", figures=figures)


async def _ask(client: httpx2.AsyncClient, query: dict[str, str]) -> list[float]:
    year = {"from": (datetime.now(UTC) - timedelta(days=365)).isoformat()}
    times = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        reply = await client.get("/v1/stats", params=query | year)
        times.append(time.perf_counter() - started)
        if not reply.raise_for_status().json()["whole"]["total"]:
            raise AssertionError("there are no figures")
    return times


async def run(options: argparse.Namespace) -> None:
    """Measure and print."""
    busy = getloadavg()[0]
    async with open_installations() as made:
        print(await measure_roll_up(made, options.rows))
        print(await measure_year(made, options.counts))
    print(f"load average before {busy:.1f}, after {getloadavg()[0]:.1f}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.statistics")
    parser.add_argument("--rows", type=int, default=500_000, help="notifications of the hour (%(default)s)")
    parser.add_argument("--counts", type=int, default=500, help="counts of each hour of the year (%(default)s)")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
