"""The catalogue of metrics: every metric that Notifier exports, with its unit and meaning."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CLAIM_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# They would be a second series for each counter, with the time at which this process made it.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)  # processor time, memory, open files and start time of this process
_SHARED = "Read from the shared database, so each process reports the same: use max(), not sum()."

BUILD_INFO = Gauge(
    "notifier_build_info",
    "1, with the version of Notifier and of Python, and the kind of database.",
    ["version", "python", "database"],
    registry=REGISTRY,
)
HTTP_REQUESTS = Counter(
    "notifier_http_requests_total",
    "HTTP requests answered, by the template of their route.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "notifier_http_request_seconds",
    "Time from an HTTP request to the first byte of its response.",
    ["route"],
    buckets=HTTP_BUCKETS,
    registry=REGISTRY,
)
HTTP_IN_FLIGHT = Gauge(
    "notifier_http_requests_in_flight", "HTTP requests in progress, with open event streams.", registry=REGISTRY
)

SUBMITTED = Counter("notifier_submitted_total", "Notifications accepted with 202.", ["status"], registry=REGISTRY)
REFUSED = Counter("notifier_refused_total", "Requests refused, by problem code.", ["code"], registry=REGISTRY)
SUBMIT_SECONDS = Histogram(
    "notifier_submit_seconds", "Time from request to commit.", buckets=SECONDS_BUCKETS, registry=REGISTRY
)
DUE_AGE_SECONDS = Gauge(
    "notifier_due_age_seconds", f"Age of the oldest due entry. {_SHARED}", ["kind", "priority"], registry=REGISTRY
)
ENTRIES = Gauge(
    "notifier_outbox_entries",
    f"Outbox entries by state; at most 100000 are counted. {_SHARED}",
    ["state"],
    registry=REGISTRY,
)
TABLE_ROWS = Gauge("notifier_table_rows", f"Rows of a table, estimated. {_SHARED}", ["table"], registry=REGISTRY)
TABLE_BYTES = Gauge(
    "notifier_table_bytes",
    f"Size of a table with its indexes; only on PostgreSQL. {_SHARED}",
    ["table"],
    registry=REGISTRY,
)
DATABASE_BYTES = Gauge("notifier_database_bytes", f"Size of the database. {_SHARED}", registry=REGISTRY)
DATABASE_FREE_BYTES = Gauge(
    "notifier_database_free_bytes",
    f"Free space inside the file of SQLite; 0 on PostgreSQL. {_SHARED}",
    registry=REGISTRY,
)
CLAIMED = Counter("notifier_claimed_total", "Entries claimed.", ["kind"], registry=REGISTRY)
CLAIM_SECONDS = Histogram(
    "notifier_claim_seconds", "Time of one claim, as the sender sees it.", buckets=CLAIM_BUCKETS, registry=REGISTRY
)
IN_PROCESS = Gauge("notifier_in_process", "Entries held by this process.", ["kind"], registry=REGISTRY)
RESCUED = Counter(
    "notifier_rescued_total", "Leased entries taken back: their sender died or its lease ended.", registry=REGISTRY
)
MARKED = Counter("notifier_marked_total", "Bodies permitted by a committed mark.", registry=REGISTRY)
REPLAYED = Counter(
    "notifier_replayed_total", "Replies that were read from the journals of dead senders.", registry=REGISTRY
)
LEASES_LOST = Counter("notifier_leases_lost_total", "Settlements whose fence no longer held.", registry=REGISTRY)
HELD = Counter("notifier_held_total", "Entries held because their result cannot be written.", registry=REGISTRY)
ATTEMPTS = Counter("notifier_attempts_total", "Delivery attempts by outcome.", ["relay", "outcome"], registry=REGISTRY)
NOT_TRIED = Counter(
    "notifier_not_tried_total", "Claims put back: the relay was not reachable.", ["relay"], registry=REGISTRY
)
SMTP_SECONDS = Histogram(
    "notifier_smtp_seconds", "Time of one SMTP transaction.", ["relay"], buckets=SECONDS_BUCKETS, registry=REGISTRY
)
SMTP_SESSIONS = Gauge("notifier_smtp_sessions", "Open connections to the relay.", ["relay"], registry=REGISTRY)
SMTP_CONNECTIONS = Gauge(
    "notifier_smtp_connections",
    "Connections that the setting allows (maximum) and that the relay accepts (in_force).",
    ["relay", "number"],
    registry=REGISTRY,
)
CIRCUIT_OPEN = Gauge("notifier_circuit_open", "1 while the relay is not usable.", ["relay"], registry=REGISTRY)
RENDER_SECONDS = Histogram(
    "notifier_render_seconds", "Time of one batch in the rendering pool.", buckets=SECONDS_BUCKETS, registry=REGISTRY
)
RENDER_CPU_SECONDS = Counter(
    "notifier_render_cpu_seconds_total",
    "Processor time of rendering children, which process_cpu_seconds_total does not contain.",
    registry=REGISTRY,
)
RENDER_FAILURES = Counter("notifier_render_failures_total", "Mails that could not be rendered.", registry=REGISTRY)
RENDER_CHILDREN_KILLED = Counter(
    "notifier_render_children_killed_total", "Rendering children that were too slow or died.", registry=REGISTRY
)
WEBHOOKS = Counter("notifier_webhooks_total", "Webhook deliveries tried, by outcome.", ["outcome"], registry=REGISTRY)
WEBHOOK_SECONDS = Histogram(
    "notifier_webhook_seconds", "Time of one webhook delivery.", buckets=SECONDS_BUCKETS, registry=REGISTRY
)
SIGN_INS = Counter(
    "notifier_sign_ins_total",
    "Sign-ins of staff: accepted, with a wrong password, or refused during a wait.",
    ["outcome"],
    registry=REGISTRY,
)
HINTS = Counter(
    "notifier_hints_total",
    "Hints of Celery: published, failed (the broker did not take it), or received by this sender.",
    ["outcome"],
    registry=REGISTRY,
)
HINT_CIRCUIT_OPEN = Gauge("notifier_hint_circuit_open", "1 while Celery's broker takes no hints.", registry=REGISTRY)
DATABASE_CONNECTIONS = Gauge("notifier_database_connections", "Pooled connections in use.", registry=REGISTRY)
STANDBY_USABLE = Gauge(
    "notifier_standby_usable",
    "1 while the standby is read; 0 if there is none, or while the primary is read instead.",
    registry=REGISTRY,
)
STANDBY_LAG_SECONDS = Gauge(
    "notifier_standby_lag_seconds", "Seconds that the standby is behind, as last known.", registry=REGISTRY
)


def format_metrics() -> bytes:
    """Format all metrics as Prometheus text."""
    return generate_latest(REGISTRY)
