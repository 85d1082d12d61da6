"""Celery tasks whose workers are killed with SIGKILL, and whose messages are published twice: one notification each.

`NOTIFIER_CHAOS=long` sends 5,000 tasks and kills 20 workers.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import redis
from chaos.producer.shop import Notifier
from chaos.size import SEED, size
from support import notifier_process
from support.celery_worker import CeleryWorker
from support.polling import poll_until
from support.redis_server import RedisServer
from support.seeded_installation import Keys

TESTS = Path(__file__).parents[1]
APPLICATION = "support.celery_application"
TASKS = size(60, 5_000)
KILLS = size(1, 20)
WORKERS = size(1, 2)
TWICE = TASKS // 10  # tasks of which each message is published twice
PUBLISH = """
import json, random, sys
from support.celery_application import app
from notifier.client.celery import send

count, twice, seed = json.loads(sys.argv[1])
mails = [{"to": f"user{n}@example.com", "template": "welcome", "variables": {"name": "U", "product": "L"}}
    for n in range(count)]
sent = [(send.delay(**mail).id, mail) for mail in mails]
for id_, mail in random.Random(seed).sample(sent, twice):
    send.apply_async(kwargs=mail, task_id=id_)
print(json.dumps([id_ for id_, _ in sent]))
"""


@pytest.fixture
def notifier(sqlite_database: tuple[str, Keys], tmp_path: Path) -> Iterator[Notifier]:
    """A Notifier without a relay, so that accepted mails stay queued."""
    url, keys = sqlite_database
    port = str(notifier_process.find_free_port())
    env = notifier_process.build_environment(tmp_path / "notifier", DATABASE_URL=url, SMTP__PORT=port)
    with Notifier(url, keys.shop, notifier_process.without_coverage(env)) as running:
        yield running


async def test_each_task_makes_one_notification(notifier: Notifier) -> None:
    """Workers are killed while they send; in the end each task has exactly one notification, and no message is left."""
    draw = random.Random(SEED)
    with RedisServer() as broker, redis.Redis.from_url(broker.url) as messages, contextlib.ExitStack() as stack:
        env = notifier_process.without_coverage(
            notifier_process.build_environment(TESTS, URL=notifier.url, API_KEY=notifier.key)
        )
        env |= {"REDIS_URL": broker.url, "PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
        command = [sys.executable, "-c", PUBLISH, json.dumps([TASKS, TWICE, SEED])]
        published = await asyncio.to_thread(subprocess.check_output, command, env=env, cwd=TESTS)
        ids = {UUID(id_) for id_ in json.loads(published)}

        async def start() -> CeleryWorker:
            worker = CeleryWorker(APPLICATION, TESTS, env)
            return await asyncio.to_thread(stack.enter_context, worker)

        workers = [await start() for _ in range(WORKERS)]
        for kill in range(1, KILLS + 1):

            async def is_far_enough(wanted: int = kill * TASKS // (KILLS + 2)) -> bool:
                return (await notifier.accepted()).total() >= wanted

            await poll_until(is_far_enough)
            victim = draw.randrange(WORKERS)
            workers[victim].kill()
            workers[victim] = await start()

        async def is_finished() -> bool:
            is_empty = messages.llen("celery") == 0 and messages.hlen("unacked") == 0
            return is_empty and (await notifier.accepted()).total() >= TASKS

        await poll_until(is_finished)
        print(f"seed {SEED}: {TASKS} tasks, {TWICE} published twice, {KILLS} workers killed")  # noqa: T201
    accepted = await notifier.accepted()
    assert (set(accepted), set(accepted.values())) == (ids, {1})
