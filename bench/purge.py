"""`python -m bench.purge`: a purge of many ended notifications beside a running sender and POSTs, on PostgreSQL.

It measures POSTs and claims before, during and after the purge, its longest transaction, and whether the last tenth is
as fast as the first. Goals: p99 at most 1.3 times as long, no transaction over 100 ms.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from os import getloadavg
from uuid import UUID

import asyncpg

from bench.rig import http_load, metrics_reader
from bench.rig.child_process import NOTIFIER, run_child
from bench.rig.http_load import Target
from bench.rig.installation import Installation, Installations, open_installations, read_sample
from bench.rig.metrics_reader import Histogram
from bench.rig.queue_filler import fill_queue
from bench.rig.relay import find_free_port
from bench.rig.result_table import Figure, Table, compute_percentile
from bench.rig.row_copies import copy_row
from bench.rig.smtp_sink import Sink
from notifier.db.engine import Database
from notifier.db.tables import INSTANCE
from notifier.jobs import job_store
from notifier.jobs.job_store import NewJobRun
from notifier.states import JobKind

TEMPLATE = "welcome"
CONNECTIONS, PAUSE_SECONDS = 8, 0.1
"""Connections that POST, and how long each waits between two POSTs: 80 POSTs a second."""
LOAD_SECONDS = 5.0
PEEK_SECONDS = 0.005
OLDEST, NEWEST = timedelta(days=120), timedelta(days=95)
_CHUNK = 100_000
_ID = "(lpad(to_hex(ms), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid"
_ROWS = "SELECT n, {start}::int8 + n * {span} / {count} AS ms FROM generate_series({first}::int8, {last}) AS n"
_AT = "to_timestamp(ms / 1000.0)"
_OWN = {
    "notification": {
        "id": _ID,
        "status": "'sent'",
        "idempotency_key": "NULL",
        "message_id": "'<' || n || '@bench.example>'",
    }
    | dict.fromkeys(("message_date", "send_at", "created_at", "updated_at"), _AT)
    | {"expires_at": f"{_AT} + interval '3 days'"},
    "notification_content": {"notification_id": _ID},
}
_ATTEMPTS = """INSERT INTO attempt (id, notification_id, entry_id, lease_no, number, phase, outcome, reply, started_at)
SELECT {id}, {id}, {id}, 1, 1, 'data', 'accepted', '250 2.0.0 Ok: queued as 4Zy', {at} FROM ({rows}) AS d"""
_TRANSACTIONS = """SELECT pid, xact_start, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age, query
FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"""
_OF_THE_PURGE = ("DELETE FROM", "job_run", "keep_content_days", "secrets_erased")


@dataclass(kw_only=True)
class PurgeObservation:
    """What was seen while the purge ran."""

    seconds: float = 0.0
    progress: list[tuple[float, int, int]] = field(default_factory=list)  # seconds, contents, notifications
    transactions: dict[tuple[int, datetime], float] = field(default_factory=dict)  # the longest age of each, in seconds
    of_purge: set[tuple[int, datetime]] = field(default_factory=set)

    @property
    def longest(self) -> float:
        """The longest transaction of the purge that was seen, in seconds."""
        return max((age for key, age in self.transactions.items() if key in self.of_purge), default=0.0)

    def get_rate(self, column: int, first: float, last: float) -> float:
        """Rows a second between two parts (0 to 1) of all rows in this column of the progress."""
        total = self.progress[-1][column]
        begin, end = (self._find_time(column, part * total) for part in (first, last))
        return (last - first) * total / max(end - begin, 0.001)

    def _find_time(self, column: int, rows: float) -> float:
        """The time at which so many rows were gone, on a straight line between two looks."""
        before = (0.0, 0, 0)
        for row in self.progress:
            if row[column] >= rows and row[column] > before[column]:
                part = (rows - before[column]) / (row[column] - before[column])
                return before[0] + part * (row[0] - before[0])
            before = row if row[column] <= rows else before
        return before[0]


async def fill_ended(installation: Installation, count: int) -> None:
    """Write ended notifications with content and one attempt each, as copies of one that was submitted."""
    await fill_queue(installation, TEMPLATE, 1)
    now = datetime.now(UTC)
    start, span = ((now - OLDEST).timestamp() * 1000, (OLDEST - NEWEST).total_seconds() * 1000)
    connection = await asyncpg.connect(installation.url)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        await connection.execute("DELETE FROM outbox_entry")
        model = await connection.fetchval("SELECT id::text FROM notification")
        for first in range(1, count + 1, _CHUNK):
            rows = _ROWS.format(
                start=int(start), span=int(span), count=count, first=first, last=min(first + _CHUNK - 1, count)
            )
            for table, own in _OWN.items():
                key = "id" if table == "notification" else "notification_id"
                await copy_row(connection, table, where=f"p.{key} = '{model}'", rows=rows, values=own)
            await connection.execute(_ATTEMPTS.format(id=_ID, at=_AT, rows=rows), timeout=900)
        for table, key in (("notification_content", "notification_id"), ("notification", "id")):
            await connection.execute(f"DELETE FROM {table} WHERE {key} = '{model}'")
        await connection.execute("VACUUM (ANALYZE)", timeout=900)
    finally:
        await connection.close()


async def observe_purge(installation: Installation, seen: PurgeObservation) -> None:
    """Begin a purge, and watch it until it has ended."""
    database = Database(installation.url)
    connection = await asyncpg.connect(installation.url)
    watching = asyncio.create_task(_watch_transactions(connection, seen))
    began = time.perf_counter()
    try:
        async with database.write() as writer:
            new = NewJobRun(service_id=INSTANCE, kind=JobKind.PURGE, created_by="bench")
            run = await job_store.create_run(writer, new, datetime.now(UTC))
        assert run is not None
        while True:
            if await _look(database, run.id, began, seen):
                break
            await asyncio.sleep(0.1)
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await connection.close()
        await database.close()
    seen.seconds = time.perf_counter() - began


async def _look(database: Database, id_: UUID, began: float, seen: PurgeObservation) -> bool:
    async with database.read() as connection:
        run = await job_store.get_run(connection, id_, None)
    moment = time.perf_counter() - began
    seen.progress.append((moment, run.counts.get("contents", 0), run.counts.get("notifications", 0)))
    if run.error is not None:
        raise RuntimeError(run.error)
    return run.ended_at is not None


async def _watch_transactions(connection: asyncpg.Connection, seen: PurgeObservation) -> None:
    while True:
        for row in await connection.fetch(_TRANSACTIONS):
            key = (row["pid"], row["xact_start"])
            seen.transactions[key] = max(seen.transactions.get(key, 0.0), row["age"])
            if any(word in row["query"] for word in _OF_THE_PURGE):
                seen.of_purge.add(key)
        await asyncio.sleep(PEEK_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Callers:
    """Who POSTs, and where the claims of the sender are counted."""

    target: Target
    metrics_port: int

    async def post(self, seconds: float) -> list[float]:
        """POST for so long; returns the time of each POST."""
        load = await http_load.run_load(
            self.target, seconds=seconds, most=10**9, connections=CONNECTIONS, pause=PAUSE_SECONDS
        )
        return load.latencies

    async def read_claims(self) -> Histogram:
        """Read the times of all claims so far."""
        return await metrics_reader.read_histogram(self.metrics_port, metrics_reader.CLAIMS)


async def measure(made: Installations, rows: int, quiet_seconds: float) -> Table:
    """Fill, measure without the purge, with it, and without it again."""
    installation = await made.postgresql()
    await fill_ended(installation, rows)
    seen, metrics_port = PurgeObservation(), find_free_port()
    async with Sink() as sink:
        settings = installation.settings(smtp_port=sink.port) | {"NOTIFIER_SENDER__SCHEDULES": "false"}
        with_metrics = settings | {"NOTIFIER_SENDER__METRICS_PORT": str(metrics_port)}
        async with (
            run_child([NOTIFIER, "api", "--port", "0"], settings) as api,
            run_child([NOTIFIER, "sender"], with_metrics) as sender,
        ):
            port = int((await api.line()).rpartition(":")[2])
            await sender.line()
            target = Target(
                port=port, path="/v1/notifications", key=installation.key, template=TEMPLATE,
                variables=read_sample(TEMPLATE),
            )  # fmt: skip
            callers = Callers(target=target, metrics_port=metrics_port)
            await callers.post(LOAD_SECONDS)
            begin = await callers.read_claims()
            before = await callers.post(quiet_seconds)
            middle = await callers.read_claims()
            purging = asyncio.create_task(observe_purge(installation, seen))
            beside: list[float] = []
            while not purging.done():
                beside += await callers.post(LOAD_SECONDS)
            await purging
            after_purge = await callers.read_claims()
            after = await callers.post(quiet_seconds)
            end = await callers.read_claims()
    quiet_claims = (middle - begin) + (end - after_purge)
    left = await installation.count()
    return _build_table(rows, seen, ([*before, *after], beside), (quiet_claims, after_purge - middle), left)


def _build_table(
    rows: int,
    seen: PurgeObservation,
    posts: tuple[Sequence[float], Sequence[float]],
    claims: tuple[Histogram, Histogram],
    left: int,
) -> Table:
    post = [1000 * compute_percentile(list(values), 99) for values in posts]
    claim = [1000 * histogram.percentile(99) for histogram in claims]
    figures = [
        Figure("the whole purge", f"{seen.seconds:,.0f} s; {left:,} notifications are left, all of the callers"),
        Figure("POST p99 without, with it", f"{post[0]:.1f} ms, {post[1]:.1f} ms ({len(posts[0])}, {len(posts[1])})"),
        Figure("  with ÷ without (goal 1.3)", f"{post[1] / post[0]:.2f}", is_headline=True),
        Figure("claim p99 without, with it", f"{claim[0]:.1f} ms, {claim[1]:.1f} ms"),
        Figure("  with ÷ without (goal 1.3)", f"{claim[1] / claim[0]:.2f}", is_headline=True),
        Figure("longest transaction (goal 100 ms)", f"{1000 * seen.longest:.0f} ms", is_headline=True),
        Figure("  of so many that were seen", f"{len(seen.of_purge):,}"),
    ]
    for column, name in ((1, "contents"), (2, "notifications")):
        first, last = seen.get_rate(column, 0.02, 0.1), seen.get_rate(column, 0.9, 0.98)
        figures.append(
            Figure(f"{name}: first and last tenth", f"{first:,.0f} and {last:,.0f} rows/s", is_headline=True)
        )
    return Table(title=f"purge of {rows:,} ended notifications beside 80 POSTs a second", figures=figures)


async def run(options: argparse.Namespace) -> None:
    """Measure and print."""
    busy = getloadavg()[0]
    async with open_installations() as made:
        print(await measure(made, options.rows, options.seconds))
    print(f"load average before {busy:.1f}, after {getloadavg()[0]:.1f}")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.purge")
    parser.add_argument("--rows", type=int, default=300_000, help="ended notifications (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="without the purge, before and after (%(default)s)")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
