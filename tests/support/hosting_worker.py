"""A Celery worker that hosts senders, and what can be asked of it: processes, `inspect stats`, metrics, events."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from celery import Celery
from chaos.process_tree import list_descendants
from kombu import Producer

from notifier.runtime.hint_publisher import HINT_EXCHANGE, HINT_NAME, open_connection
from support.celery_worker import CeleryWorker
from support.polling import poll_until, wait_until
from support.redis_server import RedisServer

APPLICATION = "notifier.celery"


@asynccontextmanager
async def run_worker(env: dict[str, str], *options: str) -> AsyncIterator[CeleryWorker]:
    """Run a worker until the end of the block; its senders are ready."""
    folder = Path(env["NOTIFIER_DATA_DIR"])
    worker = CeleryWorker(APPLICATION, folder, env, concurrency=1, options=options)
    await asyncio.to_thread(worker.__enter__)
    try:
        await wait_until(lambda: "sender ready\n" in worker.printed)
        yield worker
    finally:
        await asyncio.to_thread(worker.__exit__)


def list_processes(worker: CeleryWorker, word: bytes) -> list[int]:
    """The descendants of a worker with this word in their command."""
    return [pid for pid in list_descendants(worker.pid) if word in Path(f"/proc/{pid}/cmdline").read_bytes()]


def list_senders(worker: CeleryWorker) -> list[int]:
    """The sender processes of a worker."""
    return list_processes(worker, b"sender\0")


def find_pipe(sender: int) -> str:
    """Find the pipe of a sender: its name in /proc."""
    words = Path(f"/proc/{sender}/cmdline").read_bytes().split(b"\0")
    number = words[words.index(b"--supervisor-pipe") + 1].decode()
    return str(Path(f"/proc/{sender}/fd/{number}").readlink())


def can_write(pid: int, pipe: str) -> bool:
    """True if a process has the pipe open for writing."""
    numbers = [link.name for link in Path(f"/proc/{pid}/fd").iterdir() if str(link.readlink()) == pipe]
    infos = [Path(f"/proc/{pid}/fdinfo/{number}").read_text() for number in numbers]
    flags = [int(line.split()[1], 8) for info in infos for line in info.splitlines() if line.startswith("flags:")]
    return any(flag & os.O_WRONLY for flag in flags)


async def read_stats(redis: RedisServer) -> dict[str, Any]:
    """What `celery inspect stats` shows of the only worker about its senders."""
    inspect = Celery(broker=redis.url).control.inspect(timeout=20, limit=1)

    async def ask() -> dict[str, Any] | None:
        (answer,) = (await asyncio.to_thread(inspect.stats) or {"": {}}).values()
        part: dict[str, Any] | None = answer.get("notifier")
        return part

    return await poll_until(ask)


async def has_hints(redis: RedisServer, count: int) -> bool:
    """True once the only worker has got that many hints."""
    return bool((await read_stats(redis))["hints"] >= count)


async def count_received(port: int) -> float:
    """Count how often hints have woken the sender with this metrics port."""
    async with httpx2.AsyncClient(timeout=20) as client:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    (line,) = [line for line in text.splitlines() if line.startswith('notifier_hints_total{outcome="received"}')] or [
        "0"
    ]
    return float(line.rpartition(" ")[2])


async def has_received(port: int, count: float) -> bool:
    """True once hints have woken the sender that often."""
    return await count_received(port) >= count


def publish_hints(url: str, count: int) -> None:
    """Publish the same hint several times."""
    with open_connection(url) as connection:
        producer = Producer(connection.channel(), exchange=HINT_EXCHANGE, routing_key=HINT_NAME)
        for _ in range(count):
            producer.publish([[], {}, {}], headers={"lang": "py", "task": HINT_NAME, "id": "the-same"})


def watch_events(url: str, events: list[str]) -> None:
    """Collect the names of events, as Flower does, until a hint was handled."""
    app = Celery(broker=url)
    with app.connection() as connection:

        def collect(event: dict[str, Any]) -> None:
            events.append(event["type"])
            receiver.should_stop = event["type"] == "task-succeeded"

        receiver = app.events.Receiver(connection, handlers={"*": collect})
        receiver.capture(limit=None, timeout=None, wakeup=False)
