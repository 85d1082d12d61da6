"""(c) Time from a POST to the relay's 250 in an idle system: one process on SQLite, two on PostgreSQL.

Both times are taken in this process: before the request is written, and when the sink has answered.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bench.rig import http_load
from bench.rig.child_process import NOTIFIER, run_child
from bench.rig.http_load import Target
from bench.rig.installation import Installation, Installations, read_sample
from bench.rig.result_table import Figure, Table, compute_percentile
from bench.rig.smtp_sink import Sink

TEMPLATE = "welcome"
ARRIVAL_SECONDS = 15.0
WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    mails: int
    shortest_pause: float  # seconds after which an idle sender polls as rarely as it ever does
    longest_pause: float  # at least a poll interval longer than the shortest, so that no moment is favoured


@dataclass(kw_only=True)
class LatencySetup:
    """Processes that accept a POST and send the mail, and their times."""

    key: str
    name: str
    target: Target
    answered: list[float] = field(default_factory=list)  # seconds from POST to 202
    arrived: list[float] = field(default_factory=list)  # seconds from POST to the relay's 250

    async def one(self, sink: Sink) -> None:
        """Send one POST, and wait for its mail."""
        arrival = sink.expect(http_load.FIRST_RECIPIENT)
        done = await http_load.run_load(self.target, seconds=ARRIVAL_SECONDS, most=1, connections=1)
        async with asyncio.timeout(ARRIVAL_SECONDS):
            moment = await arrival
        self.answered += done.latencies
        self.arrived.append(moment - done.started)


async def measure(made: Installations, plan: Plan) -> Table:
    """Measure both setups in turns, one mail at a time, with a random pause before each turn."""
    async with Sink() as sink, _setups(made, sink.port) as setups:
        for turn in range(WARM_UP + plan.mails):
            if turn == WARM_UP:
                for setup in setups:
                    setup.answered.clear()
                    setup.arrived.clear()
            if turn >= WARM_UP:
                await asyncio.sleep(random.uniform(plan.shortest_pause, plan.longest_pause))
            for setup in setups:
                await setup.one(sink)
    return Table(
        title=f"(c) latency from POST to the relay's 250, idle: {plan.mails} {TEMPLATE} each",
        figures=[figure for setup in setups for figure in _figures(setup)],
        results={
            f"latency.{setup.key}.p{q}": compute_percentile(setup.arrived, q) for setup in setups for q in (50, 99)
        },
    )


@asynccontextmanager
async def _setups(made: Installations, smtp_port: int) -> AsyncIterator[Sequence[LatencySetup]]:
    async with AsyncExitStack() as stack:
        sqlite, postgresql = await made.sqlite(), await made.postgresql()
        commands = (
            (sqlite, "serve", "--port", "0"),
            (postgresql, "api", "--port", "0"),
            (postgresql, "sender"),
        )
        children = [
            await stack.enter_async_context(run_child([NOTIFIER, *words], setup.settings(smtp_port=smtp_port)))
            for setup, *words in commands
        ]
        serve, api, _ = [await child.line() for child in children]
        yield (
            LatencySetup(key="sqlite", name="`serve` on sqlite, one process", target=_target(sqlite, serve)),
            LatencySetup(
                key="postgresql",
                name="`api` and `sender` on postgresql, two processes",
                target=_target(postgresql, api),
            ),
        )


def _target(installation: Installation, announced: str) -> Target:
    port = int(announced.rpartition(":")[2])
    return Target(
        port=port, path="/v1/notifications", key=installation.key, template=TEMPLATE, variables=read_sample(TEMPLATE)
    )


def _figures(setup: LatencySetup) -> list[Figure]:
    arrived, answered = (
        [1000 * compute_percentile(values, q) for q in (50, 99)] for values in (setup.arrived, setup.answered)
    )
    return [
        Figure(setup.name, f"p50 {arrived[0]:,.1f} ms, p99 {arrived[1]:,.1f} ms", is_headline=True),
        Figure("  of which until the 202", f"p50 {answered[0]:,.1f} ms, p99 {answered[1]:,.1f} ms"),
    ]
