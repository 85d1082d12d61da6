"""Runs the measurements, and prints tables and the main figures. No run fails because it is slow."""

import argparse
import asyncio
import json
import platform
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from os import cpu_count, getloadavg
from pathlib import Path

from bench import plans
from bench.measure import (
    batch,
    console,
    console_cost,
    drain,
    growth,
    hostile,
    idle,
    isolation,
    latency,
    neighbour,
    peer_comparison,
    publish_gate,
    rendering,
    scale,
    search,
    submit,
)
from bench.plans import PARTS, QUICK_PARTS, Plans
from bench.rig.installation import Installations, open_installations
from bench.rig.relay import SESSIONS, run_relay
from bench.rig.result_table import Figure, Table

Measurement = Callable[[], Awaitable[Table]]
Measure = Callable[..., Awaitable[Table]]
DRAINED = ("receipt_inline", "receipt")
ISOLATED = ("receipt_inline", "order_shipped")


def list_measurements(plan: Plans, options: argparse.Namespace, made: Installations) -> list[Measurement]:
    """List the measurements in the order of the output."""

    async def on_postgresql(measure: Measure, how: object) -> Table:
        return await measure(await made.postgresql(), how)

    async def on_sqlite(measure: Measure, how: object) -> Table:
        return await measure(await made.sqlite(), how)

    async def with_relay(measure: Measure, *how: object) -> Table:
        async with run_relay(postfix=not options.python_sink, sessions=options.sessions) as sink:
            return await measure(made, sink, *how)

    drained = DRAINED[:1] if options.quick else DRAINED
    by_part: dict[str, Sequence[Measurement]] = {
        "submit": (
            partial(on_postgresql, submit.measure, plan.submit),
            partial(on_sqlite, submit.measure, plan.submit),
            partial(on_postgresql, batch.measure, plan.batch),
        ),
        "drain": [partial(with_relay, drain.measure, template, plan.drain) for template in drained],
        "latency": (partial(latency.measure, made, plan.latency),),
        "idle": (partial(on_postgresql, idle.measure, plan.idle),),
        "growth": (partial(with_relay, growth.measure, plan.growth),),
        "search": (partial(search.measure, made, plan.search),),
        "console": (
            *(partial(console.measure, made, plan.console, services) for services in plan.console.services),
            partial(with_relay, console_cost.measure, plan.console_cost),
        ),
        "hostile": (partial(hostile.measure, made, plan.hostile),),
        "neighbour": (partial(neighbour.measure, made, plan.neighbour),),
        "scale": [partial(with_relay, scale.measure, template, how) for template, how in plan.scale.items()],
        "gate": (partial(publish_gate.measure, made, plan.gate),),
        "isolation": [partial(with_relay, isolation.measure, template, plan.isolation) for template in ISOLATED],
        "rendering": [
            partial(asyncio.to_thread, rendering.measure_subject, subject) for subject in rendering.list_subjects()
        ],
        "peers": (partial(with_relay, peer_comparison.measure, plan.peers),),
    }
    selected = options.only or (QUICK_PARTS if options.quick else PARTS)
    return [measurement for part in PARTS if part in selected for measurement in by_part[part]]


async def run_measurements(selected: Sequence[Measurement], *, at_once: bool) -> AsyncIterator[Table]:
    """Run one measurement after the other, or all at once if the figures do not matter."""
    if at_once:
        for table in await asyncio.gather(*(measure() for measure in selected)):
            yield table
    else:
        for measure in selected:
            yield await measure()


async def run(options: argparse.Namespace) -> None:
    """Measure and print. SIGTERM ends it like Ctrl-C: all child processes are stopped."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    started, busy = time.perf_counter(), getloadavg()[0]
    headlines: list[Figure] = []
    results: dict[str, float] = {}
    print(f"Python {platform.python_version()}, {cpu_count()} cores, {platform.system()} {platform.machine()}")
    print("database, sink, generator and what is measured share these cores\n", flush=True)
    async with open_installations() as made:
        async for table in run_measurements(
            list_measurements(plans.build_plans(options), options, made), at_once=options.quick
        ):
            print(table, flush=True)
            headlines += table.headlines()
            results |= table.results
            _write(options.json, results)
    print(Table(title="In short", figures=headlines))
    print(f"{time.perf_counter() - started:.0f} s in all; load average before {busy:.1f}, after {getloadavg()[0]:.1f}")
    if options.quick:
        print("--quick shows that everything works; its figures mean nothing")


def _write(file: Path | None, results: dict[str, float]) -> None:
    """Write the results so far, for `bench/chart.py`."""
    if file is not None:
        machine = f"{cpu_count()} cores, Python {platform.python_version()}"
        figures = {name: float(f"{value:.4g}") for name, value in results.items()}
        record = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "results": figures}
        file.write_text(json.dumps(record, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Throughput and latency of Notifier.")
    parser.add_argument("--quick", action="store_true", help="tiny counts: shows that it works, in half a minute")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="some of the parts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures for bench/chart.py")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of submit, drain and peers (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run of submit (%(default)s)")
    parser.add_argument("--template", default="welcome", help="of the POSTs, with its sample (%(default)s)")
    parser.add_argument("--mails", type=int, default=60_000, help="in each round of drain (%(default)s)")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="of the sender with the relay (%(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="of the sender in drain (%(default)s)")
    parser.add_argument("--children", type=int, help="that render, in drain (default: as the sender sees fit)")
    parser.add_argument("--latency-mails", type=int, default=100, help="for each latency (%(default)s)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="deferred in growth; five times finished")
    parser.add_argument("--wave-mails", type=int, default=20_000, help="of each drain in growth (%(default)s)")
    parser.add_argument("--search-rows", type=int, default=5_000_000, help="of search and console (%(default)s)")
    parser.add_argument("--peer-mails", type=int, default=5000, help="of each peer; four times ours (%(default)s)")
    parser.add_argument("--python-sink", action="store_true", help="do without Postfix even where it is installed")
    return parser.parse_args()


def main() -> int:
    """Entry point."""
    try:
        asyncio.run(run(parse_arguments()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped", file=sys.stderr)
        return 1
    return 0
