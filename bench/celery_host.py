"""`python -m bench.celery_host`: Celery workers that host senders, and what hints cost a POST.

POSTs of four API processes in turns: without a broker, with one that is away, one that hangs, and one that works. Then
two workers against `sender --processes 2`. Then a worker that starts where none ran, until its first mail.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from os import getloadavg

import asyncpg

from bench.rig import http_load
from bench.rig.broker import run_hanging_broker, run_redis
from bench.rig.child_process import NOTIFIER, Child, run_child
from bench.rig.http_load import Target
from bench.rig.installation import Installation, Installations, open_installations, read_sample
from bench.rig.queue_filler import fill_queue
from bench.rig.relay import find_free_port, run_relay
from bench.rig.result_table import Figure, Table, compute_percentile, format_median
from bench.rig.sender_run import MAX_DRAIN_SECONDS, SenderSetup, run_drain, watch_first_claim
from bench.rig.smtp_sink import Sink

TEMPLATE = "welcome"
PAUSE_SECONDS = 0.04
"""Between two POSTs of a connection: a load that the process can carry, so that delays show in the 99th percentile."""
WARM_UP_SECONDS = 1.0
POLL_SECONDS = 0.02
_IS_EMPTY = "SELECT NOT EXISTS (SELECT 1 FROM outbox_entry)"
_LAST_SETTLE = "SELECT max(updated_at) FROM notification"


@asynccontextmanager
async def run_worker(
    installation: Installation, smtp_port: int, broker: str, setup: SenderSetup
) -> AsyncIterator[Child]:
    """Run a worker with one sender until the end of the block."""
    settings = setup.settings(installation, smtp_port) | {"NOTIFIER_CELERY__BROKER_URL": broker}
    name = f"bench{find_free_port()}@localhost"
    command = [sys.executable, "-m", "celery", "--app", "notifier.celery", "--quiet", "worker", "--hostname", name]
    async with run_child(command, settings) as worker:
        yield worker


# -- POST -----------------------------------------------------------------------------------------


async def measure_posts(made: Installations, rounds: int, seconds: float) -> Table:
    """Measure the 99th percentile of POSTs with each broker, in turns, and compare it with that without a broker."""
    async with AsyncExitStack() as stack:
        brokers = {
            "no broker": None,
            "away": f"redis://127.0.0.1:{find_free_port()}/0",
            "hanging": await stack.enter_async_context(run_hanging_broker()),
            "present": await stack.enter_async_context(run_redis()),
        }
        targets = {name: await _open_api(stack, await made.postgresql(), url) for name, url in brokers.items()}
        for target in targets.values():
            await http_load.run_load(target, seconds=WARM_UP_SECONDS, most=10_000, pause=PAUSE_SECONDS)
        percentiles: dict[str, list[float]] = {name: [] for name in targets}
        rates = []
        order = [*targets.items()]
        for _ in range(rounds):
            order.append(order.pop(0))  # the first of a round is not always the same
            for name, target in order:
                load = await http_load.run_load(target, seconds=seconds, most=1_000_000, pause=PAUSE_SECONDS)
                percentiles[name].append(1000 * compute_percentile(load.latencies, 99))
                rates.append(load.per_second)
    plain = statistics.median(percentiles["no broker"])
    return Table(
        title=f"POST p99 with hints: {rounds} rounds of {seconds:g} s, {statistics.median(rates):,.0f} POSTs a second",
        figures=[
            Figure(
                f"broker: {name}",
                f"{format_median(values, '{:.1f}')} ms, ratio {statistics.median(values) / plain:.2f}",
            )
            for name, values in percentiles.items()
        ],
    )


async def _open_api(stack: AsyncExitStack, installation: Installation, broker: str | None) -> Target:
    settings = installation.settings() | ({"NOTIFIER_CELERY__BROKER_URL": broker} if broker else {})
    api = await stack.enter_async_context(run_child([NOTIFIER, "api", "--port", "0"], settings))
    port = int((await api.line()).rpartition(":")[2])
    path, variables = "/v1/notifications", read_sample(TEMPLATE)
    return Target(port=port, path=path, key=installation.key, template=TEMPLATE, variables=variables)


# -- drain ----------------------------------------------------------------------------------------


async def measure_drain(made: Installations, rounds: int, mails: int) -> Table:
    """Measure mails a second of two workers and of `sender --processes 2`, in turns."""
    filled = await made.postgresql()
    await fill_queue(filled, TEMPLATE, mails)
    both, each = SenderSetup(processes=2), SenderSetup(sessions=SenderSetup().sessions // 2)
    ours: list[float] = []
    theirs: list[float] = []
    async with run_relay() as relay, run_redis() as broker:
        for _ in range(rounds):
            installation = await made.copy(filled)
            theirs.append((await run_drain(installation, relay.port, mails, both)).per_second)
            await made.remove(installation)
            installation = await made.copy(filled)
            ours.append(mails / await _drain_by_workers(installation, relay.port, broker, each))
            await made.remove(installation)
    await made.remove(filled)
    return Table(
        title=f"two Celery workers with a sender each: {mails:,} {TEMPLATE}, {rounds} rounds",
        figures=[
            Figure("`sender --processes 2`", f"{format_median(theirs, '{:,.0f}')} mails/s"),
            Figure("two workers", f"{format_median(ours, '{:,.0f}')} mails/s"),
            Figure("workers ÷ `sender` (goal 0.9)", f"{statistics.median(ours) / statistics.median(theirs):.2f}"),
        ],
    )


async def _drain_by_workers(installation: Installation, smtp_port: int, broker: str, setup: SenderSetup) -> float:
    """Return the seconds of two workers from the first claim to the last settle."""
    connection = await asyncpg.connect(installation.url)
    claiming = asyncio.create_task(watch_first_claim(connection))
    try:
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(run_worker(installation, smtp_port, broker, setup))
            async with asyncio.timeout(MAX_DRAIN_SECONDS):
                started, _ = await claiming
                while not await connection.fetchval(_IS_EMPTY):  # noqa: ASYNC110 - the workers announce nothing
                    await asyncio.sleep(POLL_SECONDS)
        ended: float = (await connection.fetchval(_LAST_SETTLE)).timestamp()
    finally:
        claiming.cancel()
        await connection.close()
    return ended - started


# -- from none to one -----------------------------------------------------------------------------


async def measure_start(made: Installations, rounds: int) -> Table:
    """Measure the time from the start of a worker to its first mail, with mails that have waited for it."""
    seconds: list[float] = []
    after_ready: list[float] = []
    async with run_redis() as broker:
        for _ in range(rounds):
            installation = await made.postgresql()
            await fill_queue(installation, TEMPLATE, 1)
            async with Sink() as sink:
                started = time.perf_counter()
                async with run_worker(installation, sink.port, broker, SenderSetup()) as worker:
                    await worker.line()
                    ready = time.perf_counter()
                    while not sink.accepted:  # noqa: ASYNC110 - the sink counts, and announces nothing
                        await asyncio.sleep(POLL_SECONDS)
                    seconds.append(sink.last_accepted_at - started)
                    after_ready.append(max(0.0, sink.last_accepted_at - ready))
            await made.remove(installation)
    return Table(
        title=f"from no worker to one: {rounds} rounds",
        figures=[
            Figure("start of the command to the first mail (goal 5 s after it is up)", _format_seconds(seconds)),
            Figure("its sender ready to the first mail", _format_seconds(after_ready)),
        ],
    )


def _format_seconds(values: Sequence[float]) -> str:
    return f"{format_median(values, '{:.2f}')} s"


async def run_measurement(options: argparse.Namespace) -> None:
    """Measure and print."""
    print(f"load before: {getloadavg()[0]:.2f}")
    async with open_installations() as made:
        print(await measure_posts(made, options.rounds, options.seconds))
        print(await measure_drain(made, options.rounds, options.mails))
        print(await measure_start(made, options.rounds))
    print(f"load after: {getloadavg()[0]:.2f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run of POSTs")
    parser.add_argument("--mails", type=int, default=20_000, help="in each drain")
    asyncio.run(run_measurement(parser.parse_args()))


if __name__ == "__main__":
    main()
