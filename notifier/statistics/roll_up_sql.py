"""The SQL of the roll-up: it counts the notifications of a range of ids, writes counts and totals, and reads them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Uuid

from notifier.db.dialect import DialectStatement, build_rows_source, build_statement
from notifier.db.tables import INSTANCE
from notifier.outcomes import OutcomeName
from notifier.states import KeyKind, Status
from notifier.statistics.latency_histogram import NO_BUCKET, build_bucket_sql

QUARTER_SECONDS, HOUR_SECONDS = 900, 3600
QUARTERS_OF_HOUR = HOUR_SECONDS // QUARTER_SECONDS
_COUNT = {"quarter": "int", "service_id": "uuid", "template_id": "uuid"}
_COUNT |= {"status": "text", "reason": "text", "bucket": "int"}
_HOUR = {"service_id": "uuid", "hour": "int", "measure": "text"}
_ACCEPTED = ", ".join(f"'{s}'" for s in (Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED))
_SECONDS_POSTGRES = (
    "extract(epoch FROM min(a.started_at + make_interval(secs => coalesce(a.duration_ms, 0) / 1000.0)) - n.send_at)"
)
_SECONDS_SQLITE = (
    "round(min((julianday(a.started_at) - julianday(n.send_at)) * 86400.0 + coalesce(a.duration_ms, 0) / 1000.0), 3)"
)
_QUARTER_POSTGRES = f"CAST(floor(extract(epoch FROM n.created_at) / {QUARTER_SECONDS}) AS integer)"
_QUARTER_SQLITE = f"CAST(strftime('%s', substr(n.created_at, 1, 19)) AS integer) / {QUARTER_SECONDS}"


def _build_count(quarter: str, seconds: str, nil: str) -> str:
    """Count the notifications of a range of ids; those of test keys are left out, because no relay gets them."""
    return f"""
SELECT quarter, service_id, template_id, status, reason, bucket, count(*) AS number FROM (
  SELECT {quarter} AS quarter, n.service_id, coalesce(n.template_id, {nil}) AS template_id, n.status,
         coalesce(n.reason, '') AS reason,
         CASE WHEN n.status IN ({_ACCEPTED}) THEN (
           SELECT {build_bucket_sql("t.seconds")} FROM (
             SELECT {seconds} AS seconds FROM attempt AS a
             WHERE a.notification_id = n.id AND a.outcome = '{OutcomeName.ACCEPTED}') AS t)
         ELSE {NO_BUCKET} END AS bucket
  FROM notification AS n
  WHERE n.id >= :first_id AND n.id < :stop_id AND n.kind <> '{KeyKind.TEST}') AS c
GROUP BY quarter, service_id, template_id, status, reason, bucket
"""


COUNT_RANGE = build_statement(
    _build_count(_QUARTER_POSTGRES, _SECONDS_POSTGRES, f"CAST('{INSTANCE}' AS uuid)"),
    _build_count(_QUARTER_SQLITE, _SECONDS_SQLITE, f"'{INSTANCE.hex}'"),
    parameters={"first_id": Uuid(), "stop_id": Uuid()},
    columns={"service_id": Uuid(), "template_id": Uuid()},
)
"""The counts of a range: one row for each combination of values."""


def _build_from_rows(types: Mapping[str, str], statement: str, **parameters: Any) -> DialectStatement:
    """Build a statement that takes its values from the rows `r`."""
    texts = [f"{build_rows_source(types, sqlite=sqlite)} {statement}" for sqlite in (False, True)]
    return build_statement(*texts, parameters=parameters)


DELETE_COUNTS = _build_from_rows(
    _COUNT,
    f"DELETE FROM statistics_count WHERE first_id = :first_id AND ({', '.join(_COUNT)})"
    f" IN (SELECT {', '.join(_COUNT)} FROM r)",
    first_id=Uuid(),
)
INSERT_COUNTS = _build_from_rows(
    _COUNT | {"number": "int"},
    f"INSERT INTO statistics_count (first_id, {', '.join(_COUNT)}, number)"
    f" SELECT :first_id, {', '.join(_COUNT)}, number FROM r",
    first_id=Uuid(),
)
ADD_TO_HOURS = _build_from_rows(
    _HOUR | {"number": "int"},
    f"INSERT INTO statistics_hour ({', '.join(_HOUR)}, number)"
    f" SELECT {', '.join(_HOUR)}, number FROM r WHERE true ORDER BY {', '.join(_HOUR)}"
    f" ON CONFLICT ({', '.join(_HOUR)}) DO UPDATE SET number = statistics_hour.number + excluded.number",
)
"""In one order, so that two processes never deadlock."""
DELETE_EMPTY_HOURS = _build_from_rows(
    _HOUR,
    f"DELETE FROM statistics_hour WHERE number = 0 AND ({', '.join(_HOUR)}) IN (SELECT {', '.join(_HOUR)} FROM r)",
)


def _build_read(condition: str) -> str:
    """Read counts of spans of quarters, at most a number: all of them, or with `template_id` those of a template."""
    return f"""
SELECT position, status, reason, bucket, count(*) AS examined,
       sum(CASE WHEN :template_id IS NULL OR template_id = :template_id THEN number END) AS number
FROM (SELECT r.position, c.template_id, c.status, c.reason, c.bucket, c.number
      FROM r JOIN statistics_count AS c ON c.quarter >= r.start AND c.quarter < r.stop {condition} LIMIT :most) AS c
GROUP BY position, status, reason, bucket
"""


_SPAN = {"position": "int", "start": "int", "stop": "int"}
READ_COUNTS = _build_from_rows(_SPAN, _build_read(""), template_id=Uuid())
READ_COUNTS_OF_SERVICE = _build_from_rows(
    _SPAN, _build_read("AND c.service_id = :service_id"), template_id=Uuid(), service_id=Uuid()
)
READ_TOTALS = build_statement(
    "SELECT width_bucket(c.hour, CAST(:bounds AS int[])) AS place, c.measure, sum(c.number) AS number"
    " FROM statistics_hour AS c WHERE c.service_id = :owner AND c.hour >= :start AND c.hour < :stop"
    " GROUP BY place, c.measure",
    build_rows_source({"place": "int", "start": "int", "stop": "int"}, sqlite=True)
    + " SELECT r.place, c.measure, sum(c.number) AS number FROM r JOIN statistics_hour AS c"
    " ON c.service_id = :owner AND c.hour >= r.start AND c.hour < r.stop GROUP BY r.place, c.measure",
    parameters={"owner": Uuid()},
)
"""The totals of spans of hours: the span with the index i has the place 2 i + 1, and what is between two an even one.

A join would take PostgreSQL three times as long.
"""
