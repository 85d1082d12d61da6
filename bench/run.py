"""Measure, print tables, then the ratios. No figure decides anything here: no run fails for being slow."""

import argparse
import asyncio
import platform
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from os import cpu_count, getloadavg

from bench import drain, latency, submit
from bench.installation import Installations, installations
from bench.relay import relay
from bench.table import Table

PARTS = ("submit", "drain", "latency")
Measurement = Callable[[], Awaitable[Table]]


@dataclass(frozen=True, kw_only=True)
class Plans:
    """How much of each."""

    submit: submit.Plan
    drain: drain.Plan
    latency: latency.Plan


def plans(given: argparse.Namespace) -> Plans:
    """What the command line asks for; `--quick` shows that everything works and measures nothing."""
    if given.quick:
        return Plans(
            submit=submit.Plan(rounds=1, seconds=1.0, most=30, warm_up=5, template=given.template),
            drain=drain.Plan(rounds=1, mails=30, limit_mails=300, size=16_000),
            latency=latency.Plan(mails=3, shortest_pause=0.0, longest_pause=0.05),
        )
    return Plans(
        submit=submit.Plan(
            rounds=given.rounds, seconds=given.seconds, most=1_000_000, warm_up=500, template=given.template
        ),
        drain=drain.Plan(rounds=given.rounds, mails=given.mails, limit_mails=20_000),
        latency=latency.Plan(mails=given.latency_mails, shortest_pause=0.9, longest_pause=1.4),
    )


def measurements(plan: Plans, given: argparse.Namespace, made: Installations) -> list[Measurement]:
    """What to measure, in the order in which it is shown."""

    async def submit_on_postgresql() -> Table:
        return await submit.measure("postgresql", await made.postgresql(), plan.submit)

    async def submit_on_sqlite() -> Table:
        return await submit.measure("sqlite", await made.sqlite(), plan.submit)

    async def drain_on_postgresql() -> Table:
        async with relay(postfix=not given.python_sink) as sink:
            return await drain.measure(made, sink, plan.drain)

    async def latency_on_both() -> Table:
        return await latency.measure(made, plan.latency)

    by_part = {
        "submit": (submit_on_postgresql, submit_on_sqlite),
        "drain": (drain_on_postgresql,),
        "latency": (latency_on_both,),
    }
    return [measurement for part in PARTS if part in given.only for measurement in by_part[part]]


async def tables(wanted: Sequence[Measurement], *, at_once: bool) -> AsyncIterator[Table]:
    """One table after the other, each measured while nothing else of ours runs, unless nobody reads the figures."""
    if at_once:
        for table in await asyncio.gather(*(measure() for measure in wanted)):
            yield table
    else:
        for measure in wanted:
            yield await measure()


async def run(given: argparse.Namespace) -> None:
    """Measure and print; SIGTERM ends it like Ctrl-C, with everything that was started stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    started, busy, ratios = time.perf_counter(), getloadavg()[0], []
    print(f"Python {platform.python_version()}, {cpu_count()} cores, {platform.system()} {platform.machine()}")
    print("database, sink, generator and what is measured share these cores\n", flush=True)
    async with installations() as made:
        async for table in tables(measurements(plans(given), given, made), at_once=given.quick):
            print(table, flush=True)
            ratios += table.ratios()
    print("\n".join(("Ratios", "------", *ratios, "")) if ratios else "")
    print(f"{time.perf_counter() - started:.0f} s in all; load average before {busy:.1f}, after {getloadavg()[0]:.1f}")
    if given.quick:
        print("--quick shows that everything works; its figures mean nothing")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Throughput and latency of Notifier.")
    parser.add_argument("--quick", action="store_true", help="tiny counts: shows that it works, in a few seconds")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some of the parts")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of submit and drain (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run of submit (%(default)s)")
    parser.add_argument("--template", default="welcome", help="of the POSTs, with its sample (%(default)s)")
    parser.add_argument("--mails", type=int, default=5000, help="in each round of drain (%(default)s)")
    parser.add_argument("--latency-mails", type=int, default=100, help="for each latency (%(default)s)")
    parser.add_argument("--python-sink", action="store_true", help="do without Postfix even where it is installed")
    return parser.parse_args()


def main() -> int:
    """Entry point."""
    try:
        asyncio.run(run(arguments()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped", file=sys.stderr)
        return 1
    return 0
