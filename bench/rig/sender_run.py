"""One `notifier sender --drain`, from its first claim to its last settle, and its cost."""

import asyncio
import sys
import time
from dataclasses import dataclass

import asyncpg

from bench.rig import process_tree, server_cost
from bench.rig.child_process import NOTIFIER, Child, run_child
from bench.rig.installation import Installation
from bench.rig.relay import SESSIONS
from bench.rig.server_cost import IGNORED_COMMENT

MAX_DRAIN_SECONDS = 900.0
PEEK_INTERVAL = 0.005
# Attempts count, too: a claim may have been settled between two polls.
_IS_LEASED, _WAS_TRIED = "SELECT 1 FROM outbox_entry WHERE state = 'leased'", "SELECT 1 FROM attempt"
_CLAIMED = f"SELECT EXISTS ({_IS_LEASED}) OR EXISTS ({_WAS_TRIED}) {IGNORED_COMMENT}"


@dataclass(frozen=True, kw_only=True)
class SenderSetup:
    """The setup of a sender."""

    sessions: int = SESSIONS  # of all processes together
    mails: int = 2  # mails under way on each: with more than one, the next is announced
    processes: int = 1
    children: int | None = None  # rendering children of each; None: the sender's default
    in_process: bool = False  # render without children, only in the benchmark

    @property
    def words(self) -> list[str]:
        """The command line after `notifier`."""
        return ["sender", *(["--processes", str(self.processes)] if self.processes > 1 else [])]

    @property
    def command(self) -> list[str]:
        """The command, which ends when nothing is due."""
        return (
            [sys.executable, "-m", "bench.rig.in_process_sender"]
            if self.in_process
            else [NOTIFIER, *self.words, "--drain"]
        )

    def settings(self, installation: Installation, port: int) -> dict[str, str]:
        """The sender's environment."""
        sessions = self.sessions // self.processes
        mine = {
            "NOTIFIER_SENDER__CONCURRENCY": str(self.mails * sessions),
            "NOTIFIER_SMTP__MAX_CONNECTIONS": str(sessions),
        }
        if self.children is not None:
            mine["NOTIFIER_SENDER__RENDER_CHILDREN"] = str(self.children)
        return installation.settings(smtp_port=port) | mine


@dataclass(frozen=True, kw_only=True)
class DrainCost:
    """The total cost of a drain."""

    parent: float  # CPU seconds of the sender's first process
    children: float  # of all processes below it
    server: float  # of PostgreSQL
    written: float  # transactions that wrote
    transactions: float  # including those that only read
    wal: float  # bytes
    pages: float  # full-page images in it


@dataclass(frozen=True, kw_only=True)
class DrainResult:
    """One round."""

    mails: int
    seconds: float  # from the first claim to the last settle
    cost: DrainCost

    @property
    def per_second(self) -> float:
        """Mails per second."""
        return self.mails / self.seconds


async def run_drain(installation: Installation, port: int, mails: int, setup: SenderSetup) -> DrainResult:
    """Run one sender from its first claim to its last settle; every mail must be `sent` afterwards."""
    before = await server_cost.read_cost(installation)
    connection = await asyncpg.connect(installation.url)
    claiming = asyncio.create_task(watch_first_claim(connection))
    try:
        async with run_child(setup.command, setup.settings(installation, port)) as sender:
            cpu = await _until_drained(sender)
        started, peeks = await claiming
        ended = (await connection.fetchval("SELECT max(updated_at) FROM notification")).timestamp()
    finally:
        claiming.cancel()
        await connection.close()
    spent = await server_cost.read_cost(installation) - before
    sent = await installation.count("sent")
    if sent != mails:
        raise AssertionError(f"{mails} mails were queued, and {sent} are sent")
    ours = DrainCost(
        parent=cpu.parent,
        children=cpu.children,
        server=spent.cpu,
        written=spent.written,
        transactions=spent.transactions - peeks,
        wal=spent.wal,
        pages=spent.pages,
    )
    return DrainResult(mails=mails, seconds=ended - started, cost=ours)


async def watch_first_claim(connection: asyncpg.Connection) -> tuple[float, int]:
    """Return the last time (`time.time`) at which nothing was leased yet, and the number of polls."""
    await connection.execute("SET enable_seqscan = off")
    peeks = 2
    while True:
        moment = time.time()
        peeks += 1
        if await connection.fetchval(_CLAIMED):
            return moment, peeks
        await asyncio.sleep(PEEK_INTERVAL)


async def _until_drained(sender: Child) -> process_tree.CpuWatch:
    """Wait until it ends; return the CPU time that it used after it was ready."""
    await sender.line()
    async with process_tree.watch_cpu(sender.pid) as watch:
        await sender.finished(seconds=MAX_DRAIN_SECONDS)
    return watch
