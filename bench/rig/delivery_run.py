"""Real senders that wait, and then deliver a full queue: what a mail costs in the database, the senders and the relay.

The senders are ready before the queue becomes due, so that no start is measured.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import asyncpg

from bench.rig import process_tree, server_cost
from bench.rig.child_process import NOTIFIER, Child, run_child
from bench.rig.installation import Installation
from bench.rig.relay import Relay
from bench.rig.sender_run import PEEK_INTERVAL, SenderSetup
from bench.rig.server_cost import IGNORED_COMMENT, Cost

MAX_SECONDS = 900.0
_LOCKS, _WAL = ("Lock.", "LWLock."), ("IO.Wal", "LWLock.WAL")
LOOK_SECONDS = 0.1
MIN_LEAD_SECONDS, LEAD_SECONDS = 1.0, 5.0
"""Between the statement that sets when the queue becomes due, and that time; doubled if the statement took too long."""
_HOLD = "UPDATE outbox_entry SET due_at = now() + interval '1 year'"
_RELEASE = f"UPDATE outbox_entry SET due_at = to_timestamp($1) {IGNORED_COMMENT}"
_IS_EMPTY = f"""
SELECT NOT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'ready' AND lost < 2)
   AND NOT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'leased') {IGNORED_COMMENT}"""
_IS_CLAIMED = f"SELECT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'leased') {IGNORED_COMMENT}"
_ACTIVITY = f"""
SELECT state, wait_event_type, wait_event, count(*) AS number FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
GROUP BY state, wait_event_type, wait_event {IGNORED_COMMENT}"""
_TIMES = "SELECT (SELECT min(started_at) FROM attempt), (SELECT max(updated_at) FROM notification)"
_KEPT = """
SELECT sum(reltuples)::int8 AS rows, sum(pg_total_relation_size(oid))::int8 AS bytes FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'outbox_entry'"""


@dataclass(frozen=True, kw_only=True)
class KeptRows:
    """What all tables but the outbox hold, or the difference of two."""

    rows: float
    bytes: float  # with indexes


@dataclass(frozen=True, kw_only=True)
class CpuReading:
    """CPU seconds at one moment."""

    senders: dict[int, float]  # by process id, with rendering children
    relay: float
    machine: float  # of all programs


@dataclass(frozen=True, kw_only=True)
class DeliveryRun:
    """One queue, delivered."""

    mails: int
    seconds: float  # from the first attempt to the last settle
    server: Cost
    senders: float  # CPU seconds of the sender processes
    renderers: float  # of their children
    relay: float
    others: float  # cores that other programs used meanwhile
    statements: float  # NaN if they were not counted
    connections: int  # to the database, the most at one moment
    waits: Counter[str]  # what busy connections waited for when they were looked at; "" is nothing

    @property
    def per_second(self) -> float:
        """Mails per second."""
        return self.mails / self.seconds

    @property
    def cpu(self) -> float:
        """CPU seconds of database, senders and relay together."""
        return self.server.cpu + self.senders + self.renderers + self.relay

    @property
    def share_of_wal(self) -> float:
        """The share of looks at busy connections in which they waited for the WAL."""
        return self._compute_share(lambda name: name.startswith(_WAL))

    @property
    def share_of_locks(self) -> float:
        """The share of these looks in which they waited for another lock."""
        return self._compute_share(lambda name: name.startswith(_LOCKS) and not name.startswith(_WAL))

    def _compute_share(self, is_counted: Callable[[str], bool]) -> float:
        looks = sum(self.waits.values())
        return sum(number for name, number in self.waits.items() if is_counted(name)) / looks if looks else 0.0


async def hold_queue(installation: Installation) -> None:
    """Make nothing due, so that copies of this database can be released when their senders are ready."""
    connection = await asyncpg.connect(installation.url)
    try:
        await connection.execute(_HOLD)
        await connection.execute("VACUUM (FULL, ANALYZE) outbox_entry")
    finally:
        await connection.close()


async def read_kept_rows(installation: Installation) -> KeptRows:
    """Measure what is stored, after a VACUUM."""
    connection = await asyncpg.connect(installation.url)
    try:
        await connection.execute("VACUUM (ANALYZE)")
        row = await connection.fetchrow(_KEPT)
    finally:
        await connection.close()
    return KeptRows(rows=row["rows"], bytes=row["bytes"])


async def run_delivery(
    installation: Installation, relay: Relay, setup: SenderSetup, *, counts_statements: bool = False
) -> DeliveryRun:
    """Start the senders, release the queue, and wait until every mail is `sent`. Raises `AssertionError` if one is not.

    `counts_statements`: they are logged, which takes time, so that no other cost of this run means anything.
    """
    mails = await installation.count()
    counting = server_cost.count_statements(installation) if counts_statements else nullcontext()
    async with run_child([NOTIFIER, *setup.words], setup.settings(installation, relay.port)) as senders:
        for _ in range(setup.processes):
            await senders.line()
        connection = await asyncpg.connect(installation.url)
        try:
            await connection.execute("SET enable_seqscan = off")
            async with counting as counted:
                due_at = await _release_queue(connection)
                server = await server_cost.read_cost(installation, waits=False)
                await asyncio.sleep(due_at - time.time())
                await _wait_for_claim(connection)
                before = _read_cpu(senders, relay)
                started = time.monotonic()
                connections, waits = await _watch_queue(connection)
                seconds = time.monotonic() - started
                after = _read_cpu(senders, relay)
            first, last = await connection.fetchrow(_TIMES)
        finally:
            await connection.close()
        own = _subtract(after.senders, before.senders)
        leaders = process_tree.list_children(senders.pid) if setup.processes > 1 else [senders.pid]
    sent = await installation.count("sent")
    if sent != mails:
        raise AssertionError(f"{mails} mails were queued, and {sent} are sent")
    server = await server_cost.read_cost(installation) - server
    relay_cpu = after.relay - before.relay
    busy = after.machine - before.machine - server.cpu - sum(own.values()) - relay_cpu
    return DeliveryRun(
        mails=mails,
        seconds=(last - first).total_seconds(),
        server=server,
        senders=sum(own.pop(pid, 0.0) for pid in leaders),
        renderers=sum(own.values()),
        relay=relay_cpu,
        others=max(0.0, busy / seconds),
        statements=counted.count if counted is not None else float("nan"),
        connections=connections,
        waits=waits,
    )


async def _release_queue(connection: asyncpg.Connection) -> float:
    """Let all become due at one time, and return it (`time.time`); the statement has ended well before."""
    lead = LEAD_SECONDS
    while True:
        due_at = time.time() + lead
        await connection.execute(_RELEASE, due_at)
        if due_at - time.time() >= MIN_LEAD_SECONDS:
            return due_at
        lead *= 2


async def _wait_for_claim(connection: asyncpg.Connection) -> None:
    """Wait for the first claim, because senders look once a second, and other programs use that time."""
    async with asyncio.timeout(MAX_SECONDS):
        while True:
            if await connection.fetchval(_IS_CLAIMED):
                return
            await asyncio.sleep(PEEK_INTERVAL)


async def _watch_queue(connection: asyncpg.Connection) -> tuple[int, Counter[str]]:
    """Look at the connections until the queue is empty; return their largest number, and their waits."""
    most, waits = 0, Counter[str]()
    async with asyncio.timeout(MAX_SECONDS):
        while not await connection.fetchval(_IS_EMPTY):
            rows = await connection.fetch(_ACTIVITY)
            most = max(most, sum(row["number"] for row in rows))
            for row in rows:
                if row["state"] == "active":
                    name = ".".join(filter(None, (row["wait_event_type"], row["wait_event"])))
                    waits[name] += row["number"]
            await asyncio.sleep(LOOK_SECONDS)
    return most, waits


def _read_cpu(senders: Child, relay: Relay) -> CpuReading:
    return CpuReading(
        senders=process_tree.read_tree_cpu_seconds(senders.pid),
        relay=process_tree.read_cpu_seconds(relay.pid),
        machine=process_tree.read_machine_cpu_seconds(),
    )


def _subtract(after: dict[int, float], before: dict[int, float]) -> dict[int, float]:
    return {pid: seconds - before.get(pid, 0.0) for pid, seconds in after.items()}
