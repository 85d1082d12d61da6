"""Two years of mails of several services in one PostgreSQL database; a few recipients get most of them.

Rows are copies of one that was really submitted, with service, template, recipient, tags, batch, status and time drawn
anew. Indexed tables are filled as the product would fill them; contents and attempts are missing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import asyncpg

from bench.rig.installation import Installation
from bench.rig.queue_filler import fill_queue
from notifier.auth import key_admin, service_admin
from notifier.db.engine import Database

SPAN = timedelta(days=730)
SHARES = (0.6, 0.2, 0.1, 0.05, 0.03, 0.015, 0.004, 0.001)
"""Shares of the services: the first is the big one, the last the small one, and the third has a backlog."""
BIG, BEHIND, SMALL = 0, 2, len(SHARES) - 1
BACKLOG = 0.4
"""Mails of the third service, its newest, that are still queued."""
TEMPLATES = 50
TAGS = 200
_CHUNK = 500_000
_WORKERS = 2  # connections that fill and build indexes side by side

# Statuses, each with its share of a service's old mails; the others were sent.
_ENDS = {
    "failed": 0.012,
    "bounced": 0.004,
    "suppressed": 0.004,
    "cancelled": 0.003,
    "expired": 0.002,
    "unknown": 0.0005,
}
_QUEUED_OF_NEWEST, _DEFERRED_OF_NEWEST = 0.0002, 0.001  # of all mails, the newest so many

_DRAWN = """
SELECT n, {start}::int8 + n * {span} / {count} AS ms, width_bucket(random(), ARRAY[{bounds}]) AS service,
  floor({templates} * random() ^ 2)::int AS template, floor({recipients} * random() ^ 3)::int8 AS reader,
  random() AS fate, random() AS tagged, floor({tags} * random() ^ 2)::int AS tag, random() AS later
FROM generate_series({first}::int8, {last}) AS n
"""
# Mails of one service within a thousand: every fourth such group was a batch.
_BATCH = """
CASE WHEN (n / 1000 + d.service) % 4 = 0 THEN
  ('00000000' || lpad(to_hex(d.service), 4, '0') || '70008000' || lpad(to_hex(n / 1000), 12, '0'))::uuid END
"""
_STATUS = """
CASE WHEN d.service = {behind} AND n > {backlog_from} THEN 'queued'
  WHEN n > {queued_from} AND later < 0.5 THEN 'queued'
  WHEN n > {deferred_from} AND later > 0.9 THEN 'deferred'
  {ends} ELSE 'sent' END
"""
_TAGGED = """
CASE WHEN tagged < 0.15 THEN jsonb_build_array('kind-' || d.tag, 'region-' || n % 8)
  WHEN tagged < 0.4 THEN jsonb_build_array('kind-' || d.tag) END
"""
_AT = "to_timestamp(ms / 1000.0)"
_SEND_AT = f"{_AT} + CASE WHEN n > {{queued_from}} AND later < 0.1 THEN interval '2 days' ELSE '0' END"
_TEMPLATE = "('00000000000070008000' || lpad(to_hex(template), 12, '0'))::uuid"
_SLUG = "'template-' || template"
_FOLLOWING = (  # as `notifier.status.status_writer` and the writer would have left them
    """
INSERT INTO status_index (notification_id, service_id, status)
SELECT id, service_id, status FROM notification WHERE status NOT IN ('queued', 'sent')
""",
    """
INSERT INTO notification_tag (service_id, tag, notification_id)
SELECT service_id, tag, id FROM notification, jsonb_array_elements_text(tags) AS tag ORDER BY 1, 2, 3
""",
    """
INSERT INTO batch (id, service_id, created_at, created_by, size)
SELECT batch_id, service_id, min(created_at), min(created_by), count(*) FROM notification
WHERE batch_id IS NOT NULL GROUP BY batch_id, service_id
""",
    """
INSERT INTO outbox_entry (id, kind, subject_id, service_id, priority, state, due_at, lease_no, attempts, lost, faults)
SELECT id, 'email', id, service_id, priority, 'ready', greatest(send_at, now() + interval '1 day'), 0, 0, 0, 0
FROM notification WHERE status IN ('queued', 'deferred')
""",
)


@dataclass(frozen=True, kw_only=True)
class History:
    """The services and keys of the history."""

    services: Sequence[str]  # ids, in the order of `SHARES`
    keys: Sequence[str]
    begin: datetime
    count: int


def divide_shares(services: int) -> Sequence[float]:
    """Divide the mails among so many services: most to the first, as in `SHARES`; the others get the same."""
    if services == len(SHARES):
        return SHARES
    return (SHARES[BIG], *((1 - SHARES[BIG]) / (services - 1) for _ in range(services - 1)))


async def fill_history(installation: Installation, count: int, shares: Sequence[float] = SHARES) -> History:
    """Fill a new installation with notifications."""
    await fill_queue(installation, "welcome", 1)
    services, made = await _services(installation, len(shares))
    end = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        workers = [await _worker(installation, stack) for _ in range(_WORKERS)]
        first = workers[0]
        await _templates(first)
        model = await first.fetchval("DELETE FROM outbox_entry RETURNING subject_id::text")
        indexes = await first.fetch(
            "SELECT indexname AS name, indexdef AS definition FROM pg_indexes"
            " WHERE tablename = 'notification' AND indexname LIKE 'ix_%'"
        )
        # Building the indexes at the end takes a third of the time.
        await first.execute("".join(f"DROP INDEX {index['name']};" for index in indexes))
        drawing = _Drawing(
            model=model,
            services=services,
            shares=shares,
            end=end,
            count=count,
            columns=await _columns(first, "notification"),
        )
        await _side_by_side(workers, [drawing.chunk(low + 1) for low in range(0, count, _CHUNK)])
        await first.execute(f"DELETE FROM notification_content; DELETE FROM notification WHERE id = '{model}'")
        await _side_by_side(workers, [*_FOLLOWING, *(index["definition"] for index in indexes)])
        await first.execute("VACUUM (ANALYZE)", timeout=600)
    return History(services=services, keys=made, begin=end - SPAN, count=count)


async def _services(installation: Installation, count: int) -> tuple[list[str], list[str]]:
    """Create the services and a key of each; the first is the installation's own."""
    database, now = Database(installation.url), datetime.now(UTC)
    try:
        async with database.write() as connection:
            ids = [await service_admin.find_service(connection, "bench")]
            made = [installation.key]
            for number in range(1, count):
                ids.append(await service_admin.create_service(connection, f"service{number}", from_domains=[], now=now))
                made.append(await key_admin.create_live_key(connection, ids[-1], now=now))
    finally:
        await database.close()
    return [str(id_) for id_ in ids], made


async def _worker(installation: Installation, stack: AsyncExitStack) -> asyncpg.Connection:
    connection = await asyncpg.connect(installation.url)
    stack.push_async_callback(connection.close)
    await connection.execute(
        "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '512MB';"
        " SET work_mem = '256MB'"
    )
    return connection


async def _side_by_side(workers: Sequence[asyncpg.Connection], statements: Sequence[str]) -> None:
    """Run all statements in order, each on the next free connection."""
    waiting = iter(statements)

    async def work(worker: asyncpg.Connection) -> None:
        for statement in waiting:
            await worker.execute(statement, timeout=1800)

    await asyncio.gather(*(work(worker) for worker in workers))


async def _columns(connection: asyncpg.Connection, table: str) -> list[str]:
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1", table
    )
    return [row["column_name"] for row in rows]


async def _templates(connection: asyncpg.Connection) -> None:
    """Add the slugs that searches use, each with a version, after that of the copied row."""
    for table, key in (("template", "id"), ("template_version", "template_id")):
        into = _into(table, await _columns(connection, table), {key: _TEMPLATE, "id": _TEMPLATE, "slug": _SLUG})
        await connection.execute(
            f"{into} FROM generate_series(0, {TEMPLATES - 1}) AS template, {table} AS p"
            f" WHERE p.{key} = (SELECT template_id FROM notification)"
        )


def _into(table: str, columns: Sequence[str], own: Mapping[str, str]) -> str:
    """Write the head of a statement that copies rows `p` of a table with some other values."""
    values = (own.get(name, f"p.{name}") for name in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)}"


@dataclass(frozen=True, kw_only=True)
class _Drawing:
    """The statements that create the notifications."""

    model: str  # id of the notification that is copied
    services: Sequence[str]
    shares: Sequence[float]
    end: datetime
    count: int
    columns: Sequence[str]

    def chunk(self, first: int) -> str:
        """Write the statement for the rows from this number on."""
        into = _into("notification", self.columns, self._own())
        drawn = _DRAWN.format(
            start=round((self.end - SPAN).timestamp() * 1000),
            span=round(SPAN.total_seconds() * 1000),
            count=self.count,
            bounds=", ".join(f"{bound:.6f}" for bound in list(accumulate(self.shares))[:-1]),
            templates=TEMPLATES,
            recipients=max(self.count // 4, 1),
            tags=TAGS,
            first=first,
            last=min(first + _CHUNK - 1, self.count),
        )
        return f"{into} FROM ({drawn} OFFSET 0) AS d, notification AS p WHERE p.id = '{self.model}'"

    def _own(self) -> Mapping[str, str]:
        """Return the columns that are not copied, as SQL."""
        ids = ", ".join(f"'{id_}'" for id_ in self.services)
        limits = accumulate(_ENDS.values())
        ends = " ".join(f"WHEN fate < {limit} THEN '{status}'" for status, limit in zip(_ENDS, limits, strict=True))
        numbers = {
            "behind": BEHIND,
            "backlog_from": self.count * (1 - BACKLOG),
            "queued_from": self.count * (1 - _QUEUED_OF_NEWEST),
            "deferred_from": self.count * (1 - _DEFERRED_OF_NEWEST),
        }
        return {
            "id": "(lpad(to_hex(ms), 12, '0') || '7000' || '8' || lpad(to_hex(n), 15, '0'))::uuid",
            "service_id": f"(ARRAY[{ids}]::uuid[])[d.service + 1]",
            "template_id": _TEMPLATE,
            "template_version_id": _TEMPLATE,
            "batch_id": _BATCH,
            **dict.fromkeys(("recipient", "address_key"), "'reader' || reader || '@example.com'"),
            "status": _STATUS.format(ends=ends, **numbers),
            "message_id": "'<' || lpad(to_hex(n), 32, '0') || '@instance.example>'",
            "tags": _TAGGED,
            "sequence": "1",
            "send_at": _SEND_AT.format(**numbers),
            "expires_at": f"{_AT} + interval '3 days'",
            **dict.fromkeys(("created_at", "updated_at", "message_date"), _AT),
        }
