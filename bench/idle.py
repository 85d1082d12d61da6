"""(d) What a sender costs that has nothing to do: statements, CPU, memory."""

import asyncio
import time
from dataclasses import dataclass

from bench import cost, tree
from bench.installation import Installation
from bench.process import NOTIFIER, running
from bench.table import Figure, Table

SETTLING_SECONDS = 3.0  # until start-up is over, and polling as slow as it gets


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    seconds: float


async def measure(installation: Installation, plan: Plan) -> Table:
    """One sender over an empty queue on PostgreSQL."""
    async with running([NOTIFIER, "sender"], installation.settings()) as sender:
        await sender.line()
        await asyncio.sleep(SETTLING_SECONDS)
        async with cost.statements(installation) as counted, tree.watched(sender.pid) as watch:
            started = time.perf_counter()
            await asyncio.sleep(plan.seconds)
            seconds = time.perf_counter() - started
            watch.look()
        memory = tree.pss_bytes(sender.pid) / 1e6
        processes = len(list(tree.members(sender.pid)))
    cpu = 100 * (watch.parent + watch.children) / seconds
    return Table(
        title=f"(d) idle: one `notifier sender`, postgresql, {seconds:.0f} s",
        figures=[
            Figure("statements, by the server's log", f"{counted.count / seconds:.1f} a second", is_headline=True),
            Figure(f"CPU of its {processes} processes", f"{cpu:.2f} % of a core", is_headline=True),
            Figure("memory (PSS) of them", f"{memory:,.0f} MB", is_headline=True),
        ],
        results={"idle.statements": counted.count / seconds, "idle.cpu": cpu, "idle.memory": memory},
    )
