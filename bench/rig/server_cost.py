"""Costs as PostgreSQL counts them: statements, commits, WAL and CPU time."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from bench.rig import process_tree
from bench.rig.installation import Installation
from bench.rig.postgres_server import execute_statements

MAX_READS, READ_SECONDS = 250, 0.02
RELOAD_SECONDS = 0.3
IGNORED_COMMENT = "/* bench */"
"""A comment that marks the benchmark's own statements, which are not counted."""
_READ = """
SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS wal, pg_snapshot_xmax(pg_current_snapshot())::text::int8 AS written,
       (SELECT wal_fpi FROM pg_stat_wal) AS pages, pg_backend_pid() AS pid, {fsyncs} AS fsyncs,
       (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1) AS transactions
"""
# PostgreSQL 18 has moved the count to another view.
_FSYNCS, _FSYNCS_BEFORE_18 = (
    "(SELECT sum(fsyncs)::int8 FROM pg_stat_io WHERE object = 'wal')",
    "(SELECT wal_sync FROM pg_stat_wal)",
)
_CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A reading of the server's counters, or the difference of two."""

    wal: float  # bytes, of the whole server
    written: float  # transactions that wrote: transaction ids used, of the whole server
    transactions: float  # transactions that ended in this database, including those that only read
    pages: float  # full-page images in the WAL, after a checkpoint
    fsyncs: float  # of the WAL
    cpu: float  # seconds of all its processes; NaN if they are not on this machine

    def __sub__(self, before: "Cost") -> "Cost":
        return Cost(**{name: value - getattr(before, name) for name, value in vars(self).items()})


async def read_cost(installation: Installation, *, waits: bool = True) -> Cost:
    """Read the counters when all connections are closed, because only then are they complete.

    `waits`: False reads at once. Then transactions and fsyncs of the last second may be missing.
    """
    connection = await asyncpg.connect(open_other_database(installation))
    try:
        for _ in range(MAX_READS if waits else 0):
            if not await connection.fetchval(_CONNECTED, installation.name):
                break
            await asyncio.sleep(READ_SECONDS)
        is_old = connection.get_server_version().major < 18
        statement = _READ.format(fsyncs=_FSYNCS_BEFORE_18 if is_old else _FSYNCS)
        row = await connection.fetchrow(statement, installation.name)
        cpu = process_tree.read_server_cpu_seconds(row["pid"])  # while that connection exists
    finally:
        await connection.close()
    return Cost(
        wal=float(row["wal"]),
        written=row["written"],
        transactions=row["transactions"],
        pages=row["pages"],
        fsyncs=row["fsyncs"],
        cpu=cpu,
    )


@dataclass
class Statements:
    """The statements that the block ran; NaN on a server whose log we cannot read."""

    count: float = float("nan")


@asynccontextmanager
async def count_statements(installation: Installation) -> AsyncIterator[Statements]:
    """Count the statements of this database in the server's log, including BEGIN and COMMIT."""
    counted = Statements()
    if installation.log is None:
        yield counted
        return
    await _log_statements(installation, "all")
    start = installation.log.stat().st_size
    try:
        yield counted
    finally:
        await _log_statements(installation, "none")
    counted.count = await asyncio.to_thread(_count, installation.log, start, installation.name)


async def _log_statements(installation: Installation, which: str) -> None:
    statement = f"ALTER SYSTEM SET log_statement = '{which}'"
    await execute_statements(open_other_database(installation), statement, "SELECT pg_reload_conf()")
    await asyncio.sleep(RELOAD_SECONDS)  # each process of the server reloads its settings a little later


def open_other_database(installation: Installation) -> str:
    """Return another database of the same server, so that reading does not change the measured one."""
    return make_url(installation.url).set(database="postgres").render_as_string(hide_password=False)


def _count(log: Path, start: int, database: str) -> int:
    said = tuple(f"{database} LOG:  {kind}".encode() for kind in ("execute ", "statement: "))
    with log.open("rb") as file:
        file.seek(start, os.SEEK_SET)
        return sum(line.startswith(said) and IGNORED_COMMENT.encode() not in line for line in file)
