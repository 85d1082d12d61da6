"""(a) Rows per second through `POST /v1/notifications/batch`, and the latency of single POSTs meanwhile."""

import asyncio
import statistics
from dataclasses import dataclass, replace

from bench.measure.submit import SUBMIT
from bench.rig import http_load
from bench.rig.child_process import build_module_command, run_child
from bench.rig.http_load import RefusedError, Target
from bench.rig.installation import Installation, read_sample
from bench.rig.result_table import Figure, Table, compute_percentile, format_median

BATCH = "/v1/notifications/batch"
ITEMS = 1000
BATCH_CONNECTIONS = 2
SINGLE_CONNECTIONS = 4
ALONE = 10
"""Measured alone: batches one after the other, without single POSTs."""
_NOT_THERE = ("HTTP/1.1 404", "HTTP/1.1 405")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    seconds: float  # of each round
    most: int  # batches in a round
    template: str


async def measure(installation: Installation, plan: Plan) -> Table:
    """Measure both at once on a real process; every item of a 202 must be a row afterwards."""
    title = f"(a) POST {BATCH}, postgresql: {ITEMS:,} {plan.template} each, {BATCH_CONNECTIONS} connections"
    rates, waits, alone, accepted = [], [], [], 0
    async with run_child(build_module_command("measured_api"), installation.settings()) as api:
        single = Target(
            port=int(await api.line()),
            path=SUBMIT,
            key=installation.key,
            template=plan.template,
            variables=read_sample(plan.template),
        )
        batch = replace(single, path=BATCH, items=ITEMS)
        try:
            alone = (await http_load.run_load(batch, seconds=plan.seconds, most=ALONE, connections=1)).latencies
            accepted += ITEMS * len(alone)
        except RefusedError as error:
            if not str(error).startswith(_NOT_THERE):
                raise
            return Table(title=title, figures=[Figure("batch", "not there", is_headline=True)])
        for _ in range(plan.rounds):
            batches, singles = await asyncio.gather(
                http_load.run_load(batch, seconds=plan.seconds, most=plan.most, connections=BATCH_CONNECTIONS),
                http_load.run_load(single, seconds=plan.seconds, most=1_000_000, connections=SINGLE_CONNECTIONS),
            )
            rates.append(ITEMS * batches.per_second)
            waits.append(compute_percentile(singles.latencies, 99))
            accepted += ITEMS * len(batches.latencies) + len(singles.latencies)
    rows = await installation.count()
    if rows != accepted:
        raise AssertionError(f"{accepted} notifications were answered 202, and {rows} rows are there")
    return Table(
        title=title,
        figures=[
            Figure(
                f"a batch of {ITEMS:,} alone: p50 / slowest of {len(alone)}",
                f"{compute_percentile(alone, 50) * 1000:,.0f} / {max(alone) * 1000:,.0f} ms",
                is_headline=True,
            ),
            Figure("rows in batches", f"{format_median(rates, '{:,.0f}')} rows/s", is_headline=True),
            Figure(
                f"p99 of single POSTs meanwhile, {SINGLE_CONNECTIONS} connections",
                f"{format_median([wait * 1000 for wait in waits], '{:,.1f}')} ms",
                is_headline=True,
            ),
        ],
        results={"batch.rows": statistics.median(rates), "batch.single_p99": statistics.median(waits)},
    )
