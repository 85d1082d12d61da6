"""Celery workers that host senders are killed with -9, and hints are lost and repeated: no mail is lost or doubled.

`NOTIFIER_CHAOS=long` sends 20,000 mails, kills 20 times, empties the broker three times, and stops it for a minute.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import redis as redis_library
from chaos import final_state
from chaos.chaos_scene import Scene
from chaos.load_generator import Load
from chaos.process_tree import is_alive, list_descendants
from chaos.relay_script import Pace
from chaos.size import SEED, size
from support import notifier_process
from support.celery_worker import CeleryWorker
from support.polling import wait_until
from support.redis_server import RedisServer

from notifier.runtime.hint_publisher import HINT_NAME

MAILS = size(120, 20_000)
WORKERS = size(1, 2)
KILLS = size(3, 20)
EMPTYINGS = size(1, 3)
AWAY_SECONDS = size(0.0, 60.0)
SESSIONS = 8  # in flight per sender
BACKLOG = size(60, 300)
REPEATS = 9  # of each hint, beside itself
SETTLE_SECONDS = size(60, 180)
CHANNEL = f"/0.{HINT_NAME}/{HINT_NAME}"
SETTINGS = {"SENDER__CONCURRENCY": str(SESSIONS), "SENDER__RESEND_AFTER": "2", "SENDER__LEASE": "60"}


class Workers:
    """The Celery workers of a scene. All children of those that were killed must end too."""

    def __init__(self, scene: Scene, stack: ExitStack) -> None:
        env = notifier_process.build_environment(scene.folder, **scene.fleet.settings)
        self._env = notifier_process.without_coverage(env)
        self._folder = scene.folder
        self._stack = stack
        self._workers: dict[int, CeleryWorker] = {}
        self.orphans: set[int] = set()

    async def start(self, number: int) -> None:
        """Start a worker, and wait until it listens to the broker."""
        env = self._env | {"NOTIFIER_SMTP__HELO_NAME": f"worker{number}.example"}
        worker = CeleryWorker("notifier.celery", self._folder, env, concurrency=1, options=("-n", f"worker{number}"))
        self._workers[number] = await asyncio.to_thread(self._stack.enter_context, worker)

    async def strike(self, kill: int, number: int) -> None:
        """Kill the worker's main process, or it with all its children, or its sender alone, in turn."""
        worker = self._workers[number]
        children = list_descendants(worker.pid)
        self.orphans |= children
        if kill % 3 == 2:
            for child in children:
                if b"sender\0" in _read_command(child):
                    os.kill(child, signal.SIGKILL)
            return
        if kill % 3 == 1:
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        await asyncio.to_thread(worker.kill)
        await self.start(number)

    async def stop(self) -> None:
        """Stop all workers with SIGTERM."""
        for worker in self._workers.values():
            assert await asyncio.to_thread(worker.stop) == 0


def _read_command(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


class Broker:
    """The Redis that carries the hints: each is repeated nine times."""

    def __init__(self) -> None:
        self.server = RedisServer()
        self.hints = 0

    def __enter__(self) -> Self:
        self.server.__enter__()
        self._over = threading.Event()
        self._repeater = threading.Thread(target=self._repeat, daemon=True)
        self._repeater.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._repeater.join()
        self.server.__exit__()

    def empty(self) -> None:
        """Delete everything that the broker has."""
        with redis_library.Redis.from_url(self.server.url) as client:
            client.flushall()

    async def go_away(self, seconds: float) -> None:
        """Stop the broker, and start it again later."""
        await asyncio.to_thread(self.server.__exit__)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.server.__enter__)

    def _repeat(self) -> None:
        seen: set[str] = set()
        while not self._over.is_set():
            with contextlib.suppress(redis_library.RedisError, OSError), self._subscribed() as (client, subscription):
                while not self._over.is_set():
                    message = subscription.get_message(ignore_subscribe_messages=True, timeout=0.1)
                    if message is None or (tag := json.loads(message["data"])["properties"]["delivery_tag"]) in seen:
                        continue
                    seen.add(tag)
                    self.hints += 1
                    for _ in range(REPEATS):
                        client.publish(CHANNEL, message["data"])

    @contextmanager
    def _subscribed(self) -> Iterator[tuple[Any, Any]]:
        with redis_library.Redis.from_url(self.server.url) as client, client.pubsub() as subscription:
            subscription.subscribe(CHANNEL)
            yield client, subscription


@asynccontextmanager
async def _loaded(scene: Scene) -> AsyncIterator[Load]:
    """Submit all mails, as quickly as they are sent; the block ends when all are acknowledged."""
    load = Load(scene.fleet.api_port, scene.key, seed=SEED)
    recipients = (f"user+{number}@example.com" for number in range(MAILS))
    submitting = asyncio.create_task(
        load.run(recipients, room=lambda: len(load.acknowledged) - scene.taken() < BACKLOG)
    )
    try:
        yield load
        await submitting
    finally:
        submitting.cancel()
        await asyncio.wait({submitting})


@pytest.mark.timeout(size(400, 3600))
async def test_killed_workers_and_a_broker_that_forgets_lose_no_mail(postgres_scene: Scene) -> None:
    """Nothing is lost or stuck, nothing is doubled that was not `unknown` first, and no child is left behind."""
    draw = random.Random(SEED)
    with Broker() as broker, ExitStack() as stack:
        fleet = await postgres_scene.begin(
            Pace(delay=0.05), SETTINGS | {"CELERY__BROKER_URL": broker.server.url, "API__RATE_PER_MINUTE": "0"}
        )
        workers = Workers(postgres_scene, stack)
        await asyncio.gather(fleet.start_api(), *(workers.start(number) for number in range(WORKERS)))
        async with _loaded(postgres_scene) as load:
            for kill in range(KILLS):
                due = (kill + 1) * MAILS // (KILLS + 2)
                await wait_until_taken(postgres_scene, due)
                if kill % (KILLS // EMPTYINGS) == 0:
                    await asyncio.to_thread(broker.empty)
                if kill == KILLS // 2:
                    away = asyncio.create_task(broker.go_away(AWAY_SECONDS))
                await workers.strike(kill, draw.randrange(WORKERS))
        await away
        assert await final_state.settled(postgres_scene.database, SETTLE_SECONDS)
        received = await fleet.metric("api", 'notifier_hints_total{outcome="published"}')
        report = await postgres_scene.report(
            load.acknowledged,
            seed=SEED,
            kills=KILLS,
            hints=broker.hints,
            published=received,
            repeats=dict(load.repeated),
        )
        await workers.stop()
        await wait_until(lambda: not any(map(is_alive, workers.orphans)))
    assert (report.faults, report.submitted, report.failed) == ({}, MAILS, 0)
    assert len(report.unknown_ever) <= SESSIONS * KILLS
    assert broker.hints > 0


async def wait_until_taken(scene: Scene, count: int) -> None:
    """Wait until the relay has accepted that many mails."""
    async with asyncio.timeout(size(100, 600)):
        while scene.taken() < count:  # noqa: ASYNC110 - another process writes the log
            await asyncio.sleep(0.05)
