"""Celery tasks whose workers are killed with SIGKILL, and whose messages are published twice: one notification each.

Notifier is killed, too, so that tasks are retried. `NOTIFIER_CHAOS=long` sends 5,000 tasks and kills 20 times:
alternately a child of a worker, and a whole worker. It uses RabbitMQ's classic queues, too.
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
from celery import Celery
from chaos.process_tree import list_descendants
from chaos.producer.shop import Notifier
from chaos.size import SEED, size
from support import notifier_process
from support.celery_worker import CeleryWorker
from support.document_blocks import list_blocks
from support.polling import poll_until, wait_until
from support.rabbitmq_server import RabbitmqServer
from support.redis_server import RedisServer
from support.seeded_installation import Keys

TESTS = Path(__file__).parents[1]
APPLICATION = "support.celery_application"
TASKS = size(60, 5_000)
KILLS = size(2, 20)
WORKERS = size(1, 2)
NOTIFIER_KILLS = size((1,), (7, 14))
"""After which kills Notifier is killed, too."""
BROKERS = size(("redis", "quorum"), ("redis", "rabbitmq", "quorum"))
"""`quorum` is RabbitMQ with a quorum queue, for which Celery retries in another way."""
RECIPE = list_blocks("docs/celery.md", "python")[1].text
PUBLISH = f"""
import json, sys
import support.celery_application
{RECIPE}

def build_mail(task_id):
    return {{"to": f"u{{task_id}}@example.com", "template": "welcome", "variables": {{"name": "U", "product": "L"}}}}

ids = json.load(sys.stdin)
if sys.argv[1] == "missing":
    ids = publish_missing({{task_id: build_mail(task_id) for task_id in ids}})
else:
    for task_id in ids:
        send.apply_async(kwargs=build_mail(task_id), task_id=task_id)
print(len(ids))
"""


class Shop:
    """The shop's side: its messages at the broker, and its workers."""

    def __init__(self, broker: dict[str, str], notifier: Notifier, stack: contextlib.ExitStack) -> None:
        settings = {"URL": notifier.url, "API_KEY": notifier.key}
        env = notifier_process.without_coverage(notifier_process.build_environment(TESTS, **settings))
        self._env = env | broker | {"PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
        self._stack = stack
        self._broker = stack.enter_context(Celery(broker=broker["BROKER_URL"], set_as_current=False).connection())

    def publish(self, ids: Iterable[UUID], which: str = "all") -> int:
        """Publish a message for each id, or only for those that Notifier does not know; return how many."""
        command = [sys.executable, "-c", PUBLISH, which]
        words = json.dumps([str(id_) for id_ in ids])
        return int(subprocess.check_output(command, env=self._env, cwd=TESTS, input=words, text=True, timeout=600))

    def start_worker(self) -> CeleryWorker:
        """Start a worker and wait until it is ready."""
        return self._stack.enter_context(CeleryWorker(APPLICATION, TESTS, self._env))

    @property
    def broker_name(self) -> str:
        """Which broker it is: `redis` or `amqp`."""
        return str(self._broker.transport.driver_type)

    def is_empty(self) -> bool:
        """True if no message waits, or, on Redis, is being worked on."""
        channel = self._broker.default_channel
        if self.broker_name == "redis":
            return not (channel.client.llen("celery") or channel.client.hlen("unacked"))
        return not channel.queue_declare("celery", passive=True).message_count


@pytest.fixture
def notifier(sqlite_database: tuple[str, Keys], tmp_path: Path) -> Iterator[Notifier]:
    """A Notifier without a relay, so that accepted mails stay queued."""
    url, keys = sqlite_database
    port = str(notifier_process.find_free_port())
    env = notifier_process.build_environment(tmp_path / "notifier", DATABASE_URL=url, SMTP__PORT=port)
    with Notifier(url, keys.shop, notifier_process.without_coverage(env)) as running:
        yield running


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """The variables of the application for a running broker."""
    with (RedisServer if request.param == "redis" else RabbitmqServer)() as server:
        yield {"BROKER_URL": server.url, "QUEUE_TYPE": "quorum" if request.param == "quorum" else "classic"}


async def test_each_task_makes_one_notification(broker: dict[str, str], notifier: Notifier) -> None:
    """Children and workers are killed while they send; in the end each task has exactly one notification.

    RabbitMQ loses no message. Kombu takes one from Redis before it writes that it has it, so a worker that is killed
    in between loses it; the shop then finds it with `status`, as docs/celery.md says, and publishes it again.
    """
    draw = random.Random(SEED)
    ids = [UUID(int=draw.getrandbits(128), version=4) for _ in range(TASKS)]
    messages = [*ids, *draw.sample(ids, TASKS // 10)]
    draw.shuffle(messages)
    with contextlib.ExitStack() as stack:
        shop = Shop(broker, notifier, stack)
        await asyncio.to_thread(shop.publish, messages)
        workers = [await asyncio.to_thread(shop.start_worker) for _ in range(WORKERS)]
        for kill in range(1, KILLS + 1):
            await _wait_for(notifier, kill * TASKS // (KILLS + 2))
            victim = draw.randrange(WORKERS)
            if kill % 2:
                os.kill(draw.choice(sorted(list_descendants(workers[victim].pid))), signal.SIGKILL)
            else:
                workers[victim].kill()
                workers[victim] = await asyncio.to_thread(shop.start_worker)
            if kill in NOTIFIER_KILLS:
                await asyncio.to_thread(notifier.kill_and_restart)
        lost = await _publish_lost_again(shop, notifier, ids)
        await _wait_for(notifier, TASKS)
        await wait_until(shop.is_empty)
    print(f"seed {SEED}: {broker}: {TASKS} tasks, {KILLS} kills, {lost} messages lost by the broker")  # noqa: T201
    accepted = await notifier.accepted()
    assert (set(accepted), set(accepted.values())) == (set(ids), {1})


async def _wait_for(notifier: Notifier, count: int) -> None:
    """Wait until Notifier has at least so many notifications."""

    async def is_far_enough() -> bool:
        return (await notifier.accepted()).total() >= count

    await poll_until(is_far_enough)


async def _publish_lost_again(shop: Shop, notifier: Notifier, ids: list[UUID]) -> int:
    """Publish what Redis' transport has lost, at most one message for each killed worker; return how many."""
    if shop.broker_name != "redis":
        return 0
    await wait_until(shop.is_empty)
    lost = len(ids) - len(await notifier.accepted())
    assert lost <= KILLS // 2
    assert await asyncio.to_thread(shop.publish, ids, "missing") == lost
    return lost
