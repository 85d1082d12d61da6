"""`python -m bench.cancel`: how soon a pause or a cancellation takes effect, on PostgreSQL.

First of jobs whose steps take as long as a step may: from the POST until its 2xx, which comes when the run has stopped.
Then of merges that are being written and sent: also from the 2xx until the last mail has reached the relay.
"""

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import getloadavg
from typing import Any
from uuid import UUID

import httpx2

from bench.rig.child_process import NOTIFIER, build_module_command, run_child
from bench.rig.installation import Installation, Installations, open_installations
from bench.rig.result_table import Figure, Table, compute_percentile
from bench.rig.smtp_sink import Sink
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.db.engine import Database
from notifier.jobs import job_store
from notifier.jobs.job_action import STEP_SECONDS
from notifier.jobs.job_store import NewJobRun
from notifier.states import JobKind

WRITE_SECONDS = 0.1
"""What the transaction of a step may take (docs/jobs.md)."""
RUNS_AT_ONCE = 4
QUIET_SECONDS = 2.0
"""So long after a stop nothing may happen any more."""
ANSWER_SECONDS = 0.02
"""From the final dot of a mail to the reply of the relay."""
POLL_SECONDS, MAX_SECONDS = 0.02, 120.0
GOAL = "goal 2 s"


@dataclass
class Stops:
    """The seconds of each stop."""

    replies: list[float] = field(default_factory=list)  # from the POST to its 2xx
    last_mails: list[float] = field(default_factory=list)  # from the 2xx to the last mail; 0: there was none after it
    late_mails: list[int] = field(default_factory=list)  # mails after the 2xx, whose body had begun before


def format_seconds(values: list[float]) -> str:
    """Format the median and the largest of some durations."""
    return f"p50 {1000 * compute_percentile(values, 50):,.0f} ms, max {1000 * max(values):,.0f} ms"


async def wait_until(question: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until the answer is yes."""
    async with asyncio.timeout(MAX_SECONDS):
        while not await question():  # noqa: ASYNC110 - another process writes the answer
            await asyncio.sleep(POLL_SECONDS)


async def create_key(installation: Installation) -> tuple[str, UUID]:
    """Create a key that may send and manage jobs; returns it and its service."""
    database = Database(installation.url)
    try:
        async with database.write() as connection:
            service = await service_admin.find_service(connection, "bench")
            scopes = [KeyScope.SEND, KeyScope.READ, KeyScope.SCHEDULES]
            return await key_admin.create_live_key(connection, service, scopes=scopes, now=datetime.now(UTC)), service
    finally:
        await database.close()


@asynccontextmanager
async def run_api(installation: Installation, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Run an API process, and open a client of it."""
    async with run_child([NOTIFIER, "api", "--port", "0"], installation.settings()) as api:
        url = f"http://127.0.0.1:{int((await api.line()).rpartition(':')[2])}"
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=MAX_SECONDS) as client:
            yield client


async def post_stop(client: httpx2.AsyncClient, path: str, stops: Stops) -> dict[str, Any]:
    """Post a pause or cancellation, and record the time until its reply."""
    started = time.perf_counter()
    reply = await client.post(path)
    stops.replies.append(time.perf_counter() - started)
    body: dict[str, Any] = reply.raise_for_status().json()
    return body


# -- jobs -----------------------------------------------------------------------------------------


async def measure_jobs(made: Installations, count: int, seconds_before: float, seconds_within: float) -> Table:
    """Cancel and pause runs whose steps take so long, several at once, each at a random moment of a step."""
    installation = await made.postgresql()
    key, service = await create_key(installation)
    command = [*build_module_command("slow_job_sender"), str(seconds_before), str(seconds_within)]
    settings = installation.settings() | {"NOTIFIER_SENDER__SCHEDULES": "false"}
    stops = {"cancel": Stops(), "pause": Stops()}
    async with run_child(command, settings) as sender, run_api(installation, key) as client:
        await sender.line()
        numbers = iter(range(count))

        async def stop_some() -> None:
            for number in numbers:
                act = list(stops)[number % 2]
                await _stop_job(installation, client, service, act, stops[act])

        await asyncio.gather(*(stop_some() for _ in range(RUNS_AT_ONCE)))
    await made.remove(installation)
    return Table(
        title=f"jobs with steps of {seconds_before:g} s, and {seconds_within:g} s in a transaction",
        figures=[
            Figure(f"{act}: POST to 2xx, nothing written later ({GOAL})", format_seconds(each.replies))
            for act, each in stops.items()
        ],
    )


async def _stop_job(
    installation: Installation, client: httpx2.AsyncClient, service: UUID, act: str, stops: Stops
) -> None:
    """Begin a run, stop it, and check that it writes nothing afterwards."""
    path = f"/v1/jobs/{await _begin_run(installation, service)}"

    async def has_begun() -> bool:
        return bool((await client.get(path)).json()["counts"].get("steps"))

    await wait_until(has_begun)
    await asyncio.sleep(random.uniform(0, STEP_SECONDS))
    stopped = await post_stop(client, f"{path}/{act}", stops)
    await asyncio.sleep(STEP_SECONDS + QUIET_SECONDS)
    after = (await client.get(path)).json()
    if (after["state"], after["counts"]) != (f"{act}led" if act == "cancel" else "paused", stopped["counts"]):
        raise AssertionError(f"after the {act} the job went on: {stopped} became {after}")


async def _begin_run(installation: Installation, service: UUID) -> UUID:
    database, now = Database(installation.url), datetime.now(UTC)
    try:
        async with database.write() as connection:
            new = NewJobRun(service_id=service, kind=JobKind.NOTIFY, created_by="bench")
            run = await job_store.create_run(connection, new, now)
    finally:
        await database.close()
    assert run is not None
    return run.id


# -- merges ---------------------------------------------------------------------------------------


async def measure_merges(made: Installations, count: int, rows: int, act: str) -> Table:
    """Stop merges at random moments while their rows are written and sent."""
    installation, stops, settled = await made.postgresql(), Stops(), []
    key, _ = await create_key(installation)
    async with Sink(answer_seconds=ANSWER_SECONDS) as sink, run_api(installation, key) as client:
        settings = installation.settings(smtp_port=sink.port) | {"NOTIFIER_SENDER__SCHEDULES": "false"}
        async with run_child([NOTIFIER, "sender"], settings) as sender:
            await sender.line()
            for _ in range(count):
                path = await _begin_merge(client, rows)
                settled.append(await _stop_merge(client, sink, path, act, rows, stops))
    await made.remove(installation)
    figures = [
        Figure("POST to 2xx", format_seconds(stops.replies)),
        Figure("2xx to the last mail", format_seconds(stops.last_mails)),
        Figure(
            "mails after the 2xx, begun before",
            f"p50 {compute_percentile(stops.late_mails, 50):.0f}, max {max(stops.late_mails)}",
        ),
        Figure(
            f"POST to the last mail ({GOAL})",
            format_seconds([sum(pair) for pair in zip(stops.replies, stops.last_mails, strict=True)]),
            is_headline=True,
        ),
    ]
    if act == "cancel":
        figures.append(Figure("POST to the status `cancelled` of all mails", format_seconds(settled)))
    return Table(title=f"{act} of merges of {rows:,} rows, while they are written and sent", figures=figures)


async def _begin_merge(client: httpx2.AsyncClient, rows: int) -> str:
    """Upload, check and start a merge; return its path."""
    lines = ["E-Mail,Name,Product\n", *(f"ada{n}@example.com,Ada {n},Larkspur\n" for n in range(rows))]
    headers = {"Content-Type": "text/csv"}
    reply = await client.post("/v1/merges?template=welcome", content="".join(lines).encode(), headers=headers)
    path = str(reply.raise_for_status().headers["location"])

    async def is_checked() -> bool:
        return bool((await client.get(path)).raise_for_status().json()["state"] == "checked")

    await wait_until(is_checked)
    (await client.post(f"{path}/start", json={})).raise_for_status()
    return path


async def _stop_merge(client: httpx2.AsyncClient, sink: Sink, path: str, act: str, rows: int, stops: Stops) -> float:
    """Stop a merge once a random part was sent; returns the seconds until all its mails had their last status."""
    before, part = sink.accepted, random.randint(1, rows // 2)

    async def is_sent() -> bool:
        return sink.accepted >= before + part

    await wait_until(is_sent)
    started = time.perf_counter()
    await post_stop(client, f"{path}/{act}", stops)
    replied, accepted = time.perf_counter(), sink.accepted
    if act == "pause":
        await asyncio.sleep(QUIET_SECONDS)
        await client.post(f"{path}/cancel")
    statuses: dict[str, int] = {}

    async def is_settled() -> bool:
        nonlocal statuses
        statuses = (await client.get(path)).json()["submitted"]["statuses"]
        return set(statuses) <= {"sent", "cancelled"}

    await wait_until(is_settled)
    settled = time.perf_counter() - started
    await asyncio.sleep(QUIET_SECONDS)
    stops.last_mails.append(max(0.0, sink.last_accepted_at - replied))
    stops.late_mails.append(sink.accepted - accepted)
    if statuses.get("sent", 0) != sink.accepted - before or statuses.get("cancelled", 0) == 0:
        raise AssertionError(f"the relay got {sink.accepted - before} mails, and the statuses are {statuses}")
    return settled


async def run(options: argparse.Namespace) -> None:
    """Measure and print."""
    busy = getloadavg()[0]
    async with open_installations() as made:
        print(await measure_jobs(made, options.stops, STEP_SECONDS - WRITE_SECONDS, WRITE_SECONDS))
        print(await measure_jobs(made, options.stops, 0, STEP_SECONDS))
        for act in ("cancel", "pause"):
            print(await measure_merges(made, options.stops, options.rows, act))
    print(f"load average before {busy:.1f}, after {getloadavg()[0]:.1f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cancel", description=__doc__)
    parser.add_argument("--stops", type=int, default=20, help="of each kind (%(default)s)")
    parser.add_argument("--rows", type=int, default=10_000, help="of each merge (%(default)s)")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
