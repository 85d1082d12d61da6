"""`python -m bench.measure.relay_limit`: a sender at a relay that limits the connections of a client.

The default setting, which has to find the number, takes turns with the number set by hand.
"""

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass, field

import asyncpg

from bench.rig.child_process import NOTIFIER, run_child
from bench.rig.installation import Installation, Installations, open_installations
from bench.rig.queue_filler import fill_queue
from bench.rig.result_table import Figure, Table, format_median
from bench.rig.smtp_sink import Sink

DEFAULT_CONNECTIONS = 20
MAX_DRAIN_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    mails: int  # in each round
    limit: int  # connections that the relay accepts
    processes: int  # senders, which share them
    answer_seconds: float  # from the final dot to its reply


@dataclass
class DrainResults:
    """One setting, in all rounds."""

    rates: list[float] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)  # connections
    lines: list[int] = field(default_factory=list)  # of the senders' log


async def drain(installation: Installation, plan: Plan, connections: int, results: DrainResults) -> None:
    """Drain one full queue."""
    async with Sink(max_connections=plan.limit, answer_seconds=plan.answer_seconds) as sink:
        several = ["--processes", str(plan.processes)] if plan.processes > 1 else []
        settings = installation.settings(smtp_port=sink.port)
        settings |= {"NOTIFIER_SMTP__MAX_CONNECTIONS": str(connections), "NOTIFIER_LOG_FORMAT": "json"}
        async with run_child([NOTIFIER, "sender", *several, "--drain"], settings) as sender:
            await sender.line()  # the line that says that it is ready
            started = time.time()
            await sender.finished(seconds=MAX_DRAIN_SECONDS)
            lines = sender.log_lines()
        sent = await installation.count("sent")
        if sent != plan.mails:
            raise AssertionError(f"{plan.mails} mails were queued, and {sent} are sent")
        results.rates.append(plan.mails / (await _last_settle(installation) - started))
        results.refused.append(sink.refused)
        results.lines.append(lines)


async def _last_settle(installation: Installation) -> float:
    """Return the time (`time.time`) of the last change of a status."""
    connection = await asyncpg.connect(installation.url)
    try:
        return float(await connection.fetchval("SELECT extract(epoch FROM max(updated_at)) FROM notification"))
    finally:
        await connection.close()


async def measure(made: Installations, plan: Plan) -> Table:
    """Measure both settings in turns."""
    filled = await made.postgresql()
    await fill_queue(filled, "welcome", plan.mails)
    by_hand, by_itself = DrainResults(), DrainResults()
    for _ in range(plan.rounds):
        for connections, results in (
            (max(plan.limit // plan.processes, 1), by_hand),
            (DEFAULT_CONNECTIONS, by_itself),
        ):
            installation = await made.copy(filled)
            await drain(installation, plan, connections, results)
            await made.remove(installation)
    await made.remove(filled)
    ratio = statistics.median(by_itself.rates) / statistics.median(by_hand.rates)
    default = f"{DEFAULT_CONNECTIONS} connections, the default"
    figures = [
        Figure("the relay's number, set by hand", format_median(by_hand.rates, "{:,.0f}") + " msg/s"),
        Figure(default, format_median(by_itself.rates, "{:,.0f}") + " msg/s"),
        Figure("by itself ÷ by hand", f"{ratio:.2f}", is_headline=True),
        Figure("refused connections, by hand / by itself", f"{max(by_hand.refused)} / {max(by_itself.refused)}"),
        Figure("lines in the log, by hand / by itself", f"{max(by_hand.lines)} / {max(by_itself.lines)}"),
    ]
    title = f"(l) a relay that takes {plan.limit} connections: {plan.mails:,} mails, {plan.processes} sender processes"
    return Table(title=title, figures=figures)


async def run(plan: Plan) -> None:
    """Measure and print."""
    async with open_installations() as made:
        print(await measure(made, plan))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m bench.measure.relay_limit")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mails", type=int, default=1500, help="in each round (%(default)s)")
    parser.add_argument("--limit", type=int, default=5, help="connections that the relay takes (%(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="sender processes (%(default)s)")
    parser.add_argument("--answer", type=float, default=0.015, help="seconds to the reply (%(default)s)")
    options = parser.parse_args()
    plan = Plan(
        rounds=options.rounds,
        mails=options.mails,
        limit=options.limit,
        processes=options.processes,
        answer_seconds=options.answer,
    )
    asyncio.run(run(plan))


if __name__ == "__main__":
    main()
