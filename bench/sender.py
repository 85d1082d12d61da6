"""One `notifier sender --drain`: from its first claim to its last settle, and what it cost."""

import asyncio
import sys
import time
from dataclasses import dataclass

import asyncpg

from bench import cost, tree
from bench.cost import PEEK
from bench.installation import Installation
from bench.process import NOTIFIER, Child, running
from bench.relay import SESSIONS

LONGEST_DRAIN = 900.0
PEEK_INTERVAL = 0.005
# An attempt, too: what was claimed may have been settled between two looks.
_CLAIMED = f"SELECT EXISTS (SELECT 1 FROM outbox_entry WHERE state = 'leased') OR EXISTS (SELECT 1 FROM attempt) {PEEK}"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a sender is set up."""

    sessions: int = SESSIONS  # of all processes together
    mails: int = 2  # under way on each: with more than one, the next is announced
    processes: int = 1
    children: int | None = None  # that render, in each; None: as the sender sees fit
    in_process: bool = False  # render without children, as only the benchmark does

    @property
    def words(self) -> list[str]:
        """The command line after `notifier`."""
        return ["sender", *(["--processes", str(self.processes)] if self.processes > 1 else [])]

    @property
    def command(self) -> list[str]:
        """What is started; it ends when nothing is due."""
        return [sys.executable, "-m", "bench.in_process"] if self.in_process else [NOTIFIER, *self.words, "--drain"]

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
class Spent:
    """What a drain cost, in all."""

    parent: float  # CPU seconds of the sender's first process
    children: float  # of all processes below it
    server: float  # of PostgreSQL
    written: float  # transactions that wrote
    transactions: float  # those that only read included
    wal: float  # octets
    pages: float  # full-page images in it


@dataclass(frozen=True, kw_only=True)
class Drained:
    """One round."""

    mails: int
    seconds: float  # from the first claim to the last settle
    cost: Spent

    @property
    def per_second(self) -> float:
        """Mails per second."""
        return self.mails / self.seconds


async def drain(installation: Installation, port: int, mails: int, setup: Setup) -> Drained:
    """One sender from its first claim to its last settle; every mail must be `sent` afterwards."""
    before = await cost.read(installation)
    connection = await asyncpg.connect(installation.url)
    claiming = asyncio.create_task(first_claim(connection))
    try:
        async with running(setup.command, setup.settings(installation, port)) as sender:
            cpu = await _until_drained(sender)
        started, peeks = await claiming
        ended = (await connection.fetchval("SELECT max(updated_at) FROM notification")).timestamp()
    finally:
        claiming.cancel()
        await connection.close()
    spent = await cost.read(installation) - before
    sent = await installation.count("sent")
    if sent != mails:
        raise AssertionError(f"{mails} mails were queued, and {sent} are sent")
    ours = Spent(
        parent=cpu.parent,
        children=cpu.children,
        server=spent.cpu,
        written=spent.written,
        transactions=spent.transactions - peeks,
        wal=spent.wal,
        pages=spent.pages,
    )
    return Drained(mails=mails, seconds=ended - started, cost=ours)


async def first_claim(connection: asyncpg.Connection) -> tuple[float, int]:
    """The last moment (`time.time`) at which nothing was leased yet, and how often it had to be asked."""
    await connection.execute("SET enable_seqscan = off")
    peeks = 2
    while True:
        moment = time.time()
        peeks += 1
        if await connection.fetchval(_CLAIMED):
            return moment, peeks
        await asyncio.sleep(PEEK_INTERVAL)


async def _until_drained(sender: Child) -> tree.Watched:
    """Wait for its end; returns the CPU time that it used after it was ready."""
    await sender.line()
    async with tree.watched(sender.pid) as watch:
        await sender.finished(seconds=LONGEST_DRAIN)
    return watch
