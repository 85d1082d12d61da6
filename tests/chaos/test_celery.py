"""Celery tasks whose workers are killed with SIGKILL, and whose messages are published twice: one notification each.

`NOTIFIER_CHAOS=long` sends 5,000 tasks and kills 20 times: alternately a child of a worker, and a whole worker.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import redis
from chaos.process_tree import list_descendants
from chaos.producer.shop import Notifier
from chaos.size import SEED, size
from support import notifier_process
from support.celery_worker import CeleryWorker
from support.polling import poll_until, wait_until
from support.redis_server import RedisServer
from support.seeded_installation import Keys

TESTS = Path(__file__).parents[1]
APPLICATION = "support.celery_application"
TASKS = size(60, 5_000)
KILLS = size(2, 20)
WORKERS = size(1, 2)
PUBLISH = """
import json, sys
import support.celery_application
from notifier.client.celery import send

for task_id in json.load(sys.stdin):
    mail = {"to": f"user{task_id}@example.com", "template": "welcome", "variables": {"name": "U", "product": "L"}}
    send.apply_async(kwargs=mail, task_id=task_id)
"""


class Broker:
    """The shop's side: its messages on Redis, and its workers."""

    def __init__(self, redis_server: RedisServer, notifier: Notifier, stack: contextlib.ExitStack) -> None:
        settings = {"URL": notifier.url, "API_KEY": notifier.key}
        env = notifier_process.without_coverage(notifier_process.build_environment(TESTS, **settings))
        self._env = env | {"REDIS_URL": redis_server.url, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
        self._stack = stack
        self._messages = stack.enter_context(redis.Redis.from_url(redis_server.url))

    def publish(self, ids: Iterable[UUID]) -> None:
        """Publish a message for each id."""
        words = json.dumps([str(id_) for id_ in ids])
        command = [sys.executable, "-c", PUBLISH]
        subprocess.run(command, check=True, env=self._env, cwd=TESTS, input=words, text=True, timeout=200)

    def start_worker(self) -> CeleryWorker:
        """Start a worker and wait until it is ready."""
        return self._stack.enter_context(CeleryWorker(APPLICATION, TESTS, self._env))

    def is_empty(self) -> bool:
        """True if no message waits or is being worked on."""
        return not (self._messages.llen("celery") or self._messages.hlen("unacked"))


@pytest.fixture
def notifier(sqlite_database: tuple[str, Keys], tmp_path: Path) -> Iterator[Notifier]:
    """A Notifier without a relay, so that accepted mails stay queued."""
    url, keys = sqlite_database
    port = str(notifier_process.find_free_port())
    env = notifier_process.build_environment(tmp_path / "notifier", DATABASE_URL=url, SMTP__PORT=port)
    with Notifier(url, keys.shop, notifier_process.without_coverage(env)) as running:
        yield running


async def test_each_task_makes_one_notification(notifier: Notifier) -> None:
    """Children and workers are killed while they send; in the end each task has exactly one notification.

    Kombu takes a message from Redis before it writes that it has it, so a killed worker may lose the one that it takes.
    """
    draw = random.Random(SEED)
    ids = [UUID(int=draw.getrandbits(128), version=4) for _ in range(TASKS)]
    with RedisServer() as server, contextlib.ExitStack() as stack:
        broker = Broker(server, notifier, stack)
        await asyncio.to_thread(broker.publish, [*ids, *draw.sample(ids, TASKS // 10)])
        workers = [await asyncio.to_thread(broker.start_worker) for _ in range(WORKERS)]
        for kill in range(1, KILLS + 1):

            async def is_far_enough(wanted: int = kill * TASKS // (KILLS + 2)) -> bool:
                return (await notifier.accepted()).total() >= wanted

            await poll_until(is_far_enough)
            victim = draw.randrange(WORKERS)
            if kill % 2:
                os.kill(draw.choice(sorted(list_descendants(workers[victim].pid))), signal.SIGKILL)
            else:
                workers[victim].kill()
                workers[victim] = await asyncio.to_thread(broker.start_worker)
        await wait_until(broker.is_empty)
        lost = set(ids) - set(await notifier.accepted())
        assert len(lost) <= KILLS // 2
        await asyncio.to_thread(broker.publish, lost)

        async def is_finished() -> bool:
            return (await notifier.accepted()).total() >= TASKS

        await poll_until(is_finished)
    print(f"seed {SEED}: {TASKS} tasks, {KILLS} kills, {len(lost)} messages lost by Redis' transport")  # noqa: T201
    accepted = await notifier.accepted()
    assert (set(accepted), set(accepted.values())) == (set(ids), {1})
