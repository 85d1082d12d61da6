"""`python -m bench.merge`: a mail merge of many rows: how long its check takes, and how fast its rows are written.

The rows are written twice: once while entries are taken from the outbox at once, which shows how fast a sender process
writes; and once while that process also sends them to a sink, which shows how many wait at most.
"""

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx2

from bench.rig.child_process import NOTIFIER, run_child
from bench.rig.installation import Installation, Installations, open_installations
from bench.rig.result_table import Figure, Table
from bench.rig.smtp_sink import Sink
from notifier.runtime import wiring
from notifier.settings import Settings

POLL_SECONDS = 0.25
MAX_SECONDS = 1800.0


@dataclass
class OutboxSample:
    """The most entries of mails that were seen in the outbox."""

    most: int = 0


@contextlib.asynccontextmanager
async def open_client(installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    """Open the API in this process."""
    settings = installation.settings()
    made = Settings(
        database_url=settings["NOTIFIER_DATABASE_URL"], data_dir=installation.data_dir, recipients={"mode": "live"}
    )
    async with wiring.open_process_parts(made) as parts:
        transport = httpx2.ASGITransport(app=wiring.build_api(parts))
        headers = {"Authorization": f"Bearer {installation.key}", "Content-Type": "text/csv"}
        async with httpx2.AsyncClient(transport=transport, base_url="http://bench", headers=headers) as client:
            yield client


async def wait_for(client: httpx2.AsyncClient, path: str, *states: str, written: int = 0) -> dict[str, Any]:
    """Wait until the merge has one of the states, or so many rows are written."""
    async with asyncio.timeout(MAX_SECONDS):
        while True:
            merge: dict[str, Any] = (await client.get(path)).json()
            if merge["state"] == "failed":
                raise AssertionError(merge["error"])
            if merge["state"] in states or (written and merge["submitted"]["written"] >= written):
                return merge
            await asyncio.sleep(POLL_SECONDS)


async def watch_outbox(installation: Installation, sample: OutboxSample, *, is_emptied: bool) -> None:
    """Count the mails in the outbox again and again; `is_emptied`: and delete them, as very fast senders would."""
    connection = await asyncpg.connect(installation.url)
    try:
        while True:
            count = await connection.fetchval("SELECT count(*) FROM outbox_entry WHERE kind = 'email'")
            sample.most = max(sample.most, count)
            if is_emptied:
                await connection.execute("DELETE FROM outbox_entry WHERE kind = 'email'")
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await connection.close()


async def upload(client: httpx2.AsyncClient, rows: int) -> str:
    """Upload a file with so many rows."""
    lines = ["E-Mail,Name,Product\n", *(f"ada{n}@example.com,Ada {n},Larkspur\n" for n in range(rows))]
    reply = await client.post("/v1/merges?template=welcome", content="".join(lines).encode())
    return str(reply.raise_for_status().headers["location"])


async def measure(made: Installations, rows: int) -> Table:
    """Measure both runs, each with a database of its own."""
    check_seconds, written_rate = await measure_writing(made, rows)
    sent_rate, most = await measure_sending(made, rows)
    return Table(
        title=f"A merge of {rows:,} rows, one sender process",
        figures=[
            Figure("check", f"{check_seconds:.1f} s, {rows / check_seconds:,.0f} rows/s", is_headline=True),
            Figure("rows written, the outbox emptied at once", f"{written_rate:,.0f} rows/s", is_headline=True),
            Figure("rows written and sent to a sink by the same process", f"{sent_rate:,.0f} rows/s"),
            Figure("most mails in the outbox meanwhile", f"{most:,}"),
        ],
    )


async def measure_writing(made: Installations, rows: int) -> tuple[float, float]:
    """Measure the seconds of the check, and the rows a second of the run."""
    installation = await made.postgresql()
    settings = installation.settings() | {"NOTIFIER_LOG_FORMAT": "json"}
    async with open_client(installation) as client, run_child([NOTIFIER, "sender"], settings) as sender:
        await sender.line()
        started = time.perf_counter()
        path = await upload(client, rows)
        await wait_for(client, path, "checked")
        check_seconds = time.perf_counter() - started
        watch = asyncio.create_task(watch_outbox(installation, OutboxSample(), is_emptied=True))
        options = {"send_at": (datetime.now(UTC) + timedelta(hours=6)).isoformat()}
        started = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        (await client.post(f"{path}/start", json=options, headers=headers)).raise_for_status()
        await wait_for(client, path, written=rows)
        rate = rows / (time.perf_counter() - started)
        watch.cancel()
        await asyncio.wait({watch})
    await made.remove(installation)
    return check_seconds, rate


async def measure_sending(made: Installations, rows: int) -> tuple[float, int]:
    """Measure the rows a second from the start to the last mail sent, and the most mails in the outbox."""
    installation, sample = await made.postgresql(), OutboxSample()
    async with Sink() as sink, open_client(installation) as client:
        settings = installation.settings(smtp_port=sink.port) | {"NOTIFIER_LOG_FORMAT": "json"}
        async with run_child([NOTIFIER, "sender"], settings) as sender:
            await sender.line()
            path = await upload(client, rows)
            await wait_for(client, path, "checked")
            watch = asyncio.create_task(watch_outbox(installation, sample, is_emptied=False))
            started = time.perf_counter()
            (await client.post(f"{path}/start")).raise_for_status()
            await wait_for(client, path, "finished", written=rows)
            rate = rows / (time.perf_counter() - started)
            merge = await wait_for(client, path, "finished")
            watch.cancel()
            await asyncio.wait({watch})
    if merge["submitted"]["statuses"] != {"sent": rows}:
        raise AssertionError(f"{rows} rows were submitted, and the statuses are {merge['submitted']['statuses']}")
    await made.remove(installation)
    return rate, sample.most


async def run_measurement(rows: int) -> None:
    """Measure and print."""
    async with open_installations() as made:
        print(await measure(made, rows))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    asyncio.run(run_measurement(parser.parse_args().rows))


if __name__ == "__main__":
    main()
