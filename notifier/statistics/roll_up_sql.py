"""The SQL of the roll-up: it counts the notifications of a range of ids."""

from sqlalchemy import Uuid

from notifier.db.dialect import build_statement
from notifier.db.tables import INSTANCE
from notifier.outcomes import OutcomeName
from notifier.states import KeyKind, Status
from notifier.statistics.latency_histogram import NO_BUCKET, build_bucket_sql

QUARTER_SECONDS = 900
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
