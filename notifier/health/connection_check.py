"""Checks whether PostgreSQL has as many connections as all processes of the installation may open."""

# ruff: noqa: S608 - SQL of our own constants; values are always bound

from sqlalchemy import text

from notifier.db.database_url import PostgresAddress
from notifier.db.engine import Database
from notifier.errors import DatabaseUnavailableError
from notifier.health.checks import UNREACHABLE, CheckResult

NAME = "db_connections"
_ADVICE = "lower NOTIFIER_DATABASE_CONNECTIONS, raise max_connections, or put PgBouncer in between"
ALLOWED_CONNECTIONS = """
  least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
      - coalesce(current_setting('reserved_connections', true)::int, 0),
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()))"""
"""SQL: the connections that this role may have to this database, without those that are reserved."""
IS_CLIENT = "datname IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'"
"""SQL: whether a session is a client's. A role that may not see sessions of others does not see their type."""
_COUNT = text(f"""
WITH session AS (
  SELECT application_name AS name,
    datname = current_database() AND starts_with(coalesce(application_name, ''), :prefix) AS is_ours
  FROM pg_stat_activity
  WHERE {IS_CLIENT})
SELECT
  {ALLOWED_CONNECTIONS} AS room,
  count(*) FILTER (WHERE NOT is_ours) AS others,
  count(DISTINCT name) FILTER (WHERE is_ours AND name <> current_setting('application_name')) AS processes,
  (SELECT count(*) FROM sender_process WHERE beat_at > clock_timestamp() - interval '1 minute') AS senders
FROM session
""")


async def check_database_connections(db: Database, connections: int) -> list[CheckResult]:
    """Compare what all processes may open with what PostgreSQL allows; no result on SQLite.

    `connections`: the setting, which is taken for that of every process.
    """
    if not isinstance(db.address, PostgresAddress):
        return []
    try:
        if await db.is_pooled():
            detail = f"up to {connections} for each process; a pooler decides how many of them PostgreSQL gets"
            return [CheckResult(name=NAME, ok=True, detail=detail)]
        async with db.read() as connection:
            row = (await connection.execute(_COUNT, {"prefix": db.name_prefix})).one()
    except DatabaseUnavailableError:
        return [CheckResult(name=NAME, ok=False, detail=UNREACHABLE)]
    # Senders are counted twice, because sessions have no process in their name if the URL names them.
    processes = max(row.processes, row.senders, 1)
    needed = processes * connections + row.others
    plural = "process" if processes == 1 else "processes"
    sum_ = f"{processes} {plural} of up to {connections}, and {row.others} of other clients, are {needed}"
    fits = needed <= row.room
    detail = f"{sum_}; PostgreSQL allows {row.room}" + ("" if fits else f": {_ADVICE}")
    return [CheckResult(name=NAME, ok=True, warning=not fits, detail=detail)]
