"""(d) The cost of an idle sender: statements, CPU, memory."""

import asyncio
import time
from dataclasses import dataclass

from bench.rig import process_tree, server_cost
from bench.rig.child_process import NOTIFIER, run_child
from bench.rig.installation import Installation
from bench.rig.result_table import Figure, Table

SETTLING_SECONDS = 3.0  # until the start is over and polling has its longest interval


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    seconds: float


async def measure(installation: Installation, plan: Plan) -> Table:
    """Measure one sender over an empty queue on PostgreSQL."""
    async with run_child([NOTIFIER, "sender"], installation.settings()) as sender:
        await sender.line()
        await asyncio.sleep(SETTLING_SECONDS)
        async with server_cost.count_statements(installation) as counted, process_tree.watch_cpu(sender.pid) as watch:
            started = time.perf_counter()
            await asyncio.sleep(plan.seconds)
            seconds = time.perf_counter() - started
            watch.look()
        memory = process_tree.read_pss_bytes(sender.pid) / 1e6
        processes = len(list(process_tree.list_members(sender.pid)))
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
