"""Celery workers that host senders, on a real Redis: they send, and no sender outlives its worker."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from chaos import load_generator
from chaos.process_tree import is_alive, list_descendants
from pydantic import SecretStr
from support import api_caller, hosting_worker, notifier_process
from support.celery_worker import OPTIONS
from support.document_blocks import list_blocks
from support.hosting_worker import APPLICATION
from support.pgbouncer import PgBouncer
from support.polling import poll_until, wait_until
from support.postgres_cluster import PostgresServer
from support.redis_server import RedisServer
from support.run_selection import EVERYTHING
from support.scripted_relay import HOLD, ScriptedRelay
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.runtime.hint_publisher import HINT_NAME

IN_FLIGHT = "ada@example.com"
POOLS = ("prefork", "threads", "solo") if EVERYTHING else ("threads",)  # other tests have the first and the last


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as running:
        yield running


@pytest.fixture
def env(
    postgres_installation: Installation, relay: ScriptedRelay, redis: RedisServer, tmp_path: Path
) -> dict[str, str]:
    """The environment of a worker."""
    settings = {
        "DATABASE_URL": postgres_installation.settings.effective_database_url,
        "SMTP__PORT": str(relay.port),
        "CELERY__BROKER_URL": redis.url,
    }
    return notifier_process.without_coverage(notifier_process.build_environment(tmp_path, **settings))


async def submit(installation: Installation, *recipients: str) -> None:
    """Queue a mail to each recipient."""
    await load_generator.fill(installation.settings.effective_database_url, installation.keys.shop, iter(recipients))


def test_the_page_names_the_command() -> None:
    """The workers of these tests are started as docs/celery.md says."""
    (block,) = list_blocks("docs/celery.md", "sh")
    assert block.text == f"celery --app {APPLICATION} worker {' '.join(OPTIONS[:2])}\n"


async def test_a_worker_sends_replaces_a_dead_sender_and_stops_in_order(
    env: dict[str, str], redis: RedisServer, postgres_installation: Installation, relay: ScriptedRelay
) -> None:
    """`inspect stats` shows the senders; a killed one is replaced and sends on; SIGTERM ends all, and exits with 0."""
    async with hosting_worker.run_worker(env) as worker:
        await submit(postgres_installation, "first@example.com")
        await relay.wait_for(1)
        (pid,) = hosting_worker.list_senders(worker)
        assert await hosting_worker.read_stats(redis) == {"senders": [{"pid": pid, "starts": 1}], "hints": 0}
        os.kill(pid, signal.SIGKILL)
        await submit(postgres_installation, "second@example.com")
        await relay.wait_for(2)
        (replacing,) = hosting_worker.list_senders(worker)
        assert (await hosting_worker.read_stats(redis))["senders"] == [{"pid": replacing, "starts": 2}]
        left = list_descendants(worker.pid)
        assert await asyncio.to_thread(worker.stop) == 0
    assert replacing != pid
    assert not any(map(is_alive, left))


async def test_flower_and_a_person_at_the_terminal_see_hints(env: dict[str, str], redis: RedisServer) -> None:
    """`celery call` publishes a hint that reaches the worker, and with `--task-events` each hint is an event."""
    async with hosting_worker.run_worker(env, "--pool", "solo", "--task-events") as worker:
        command = [sys.executable, "-m", "celery", "--app", APPLICATION, "call", HINT_NAME]
        folder = Path(env["NOTIFIER_DATA_DIR"])
        await asyncio.to_thread(subprocess.run, command, env=env, cwd=folder, check=True, capture_output=True)
        await poll_until(lambda: hosting_worker.has_hints(redis, 1))
        events: list[str] = []
        watching = asyncio.create_task(asyncio.to_thread(hosting_worker.watch_events, redis.url, events))

        async def has_event() -> bool:
            await asyncio.to_thread(
                hosting_worker.publish_hints, redis.url, 1
            )  # an event before the watch begins is not seen
            return "task-succeeded" in events

        await poll_until(has_event)
        await watching
        assert await asyncio.to_thread(worker.stop) == 0


@pytest.mark.parametrize("pool", POOLS)
async def test_a_worker_of_any_pool_ends_its_senders_when_it_is_told_to_shut_down(
    env: dict[str, str], redis: RedisServer, postgres_installation: Installation, relay: ScriptedRelay, pool: str
) -> None:
    """Two senders share the mails; `control.shutdown` ends the worker, and its senders before it."""
    async with hosting_worker.run_worker(env | {"NOTIFIER_CELERY__SENDERS": "2"}, "--pool", pool) as worker:
        await submit(postgres_installation, *(f"user{number}@example.com" for number in range(20)))
        assert len({mail.recipient for mail in await relay.wait_for(20)}) == 20
        await wait_until(lambda: worker.printed.count("sender ready\n") == 2)
        left = list_descendants(worker.pid)
        assert len(hosting_worker.list_senders(worker)) == 2
        await asyncio.to_thread(Celery(broker=redis.url).control.shutdown)
        assert await asyncio.to_thread(worker.wait) == 0
        assert not any(map(is_alive, left))


async def test_no_sender_outlives_a_killed_worker(env: dict[str, str], redis: RedisServer) -> None:
    """Only the main process holds the pipe that keeps a sender running, and not the children that its pool forks."""
    async with hosting_worker.run_worker(env) as worker:
        (sender,), (first,) = hosting_worker.list_senders(worker), hosting_worker.list_processes(worker, b"celery\0")
        rendering = list_descendants(sender)
        assert rendering
        await asyncio.to_thread(Celery(broker=redis.url).control.pool_grow, 1, reply=True, timeout=20, limit=1)
        await wait_until(lambda: len(hosting_worker.list_processes(worker, b"celery\0")) == 2)
        (child,) = set(hosting_worker.list_processes(worker, b"celery\0")) - {first}
        pipe = hosting_worker.find_pipe(sender)
        await wait_until(lambda: not hosting_worker.can_write(child, pipe))  # it closes the pipe after the fork
        assert hosting_worker.can_write(worker.pid, pipe)
        os.kill(worker.pid, signal.SIGKILL)
        await wait_until(lambda: not any(map(is_alive, {sender, *rendering})))


async def test_a_warm_shutdown_finishes_what_is_in_flight(
    env: dict[str, str], postgres_installation: Installation, relay: ScriptedRelay
) -> None:
    """SIGTERM comes between the dot and its reply: the worker waits for it, and the mail is sent."""
    relay.say(IN_FLIGHT, "DOT", f"{HOLD}250 2.0.0 queued")
    async with hosting_worker.run_worker(env) as worker:
        await submit(postgres_installation, IN_FLIGHT)
        await relay.wait_for_bodies(1)
        left = list_descendants(worker.pid)
        worker.send(signal.SIGTERM)

        def waits_for_its_senders() -> bool:
            assert is_alive(worker.pid)
            worker.send(signal.SIGUSR1)  # Celery prints where each thread is
            return any("sender_step.py" in line and "in stop" in line for line in worker.printed)

        await wait_until(waits_for_its_senders)
        relay.resume.set()
        assert await asyncio.to_thread(worker.wait) == 0
        assert not any(map(is_alive, left))
    database = Database(postgres_installation.settings.effective_database_url)
    assert await api_caller.count_entries(database) == 0
    await database.close()


async def test_a_second_signal_ends_a_worker_at_once(
    env: dict[str, str], postgres_installation: Installation, relay: ScriptedRelay
) -> None:
    """While a warm shutdown waits for a reply that never comes, SIGQUIT kills the sender."""
    relay.say(IN_FLIGHT, "DOT", f"{HOLD}250 2.0.0 queued")
    async with hosting_worker.run_worker(env | {"NOTIFIER_SENDER__GRACE": "3600"}) as worker:
        await submit(postgres_installation, IN_FLIGHT)
        await relay.wait_for_bodies(1)
        left = list_descendants(worker.pid)
        worker.send(signal.SIGTERM)
        await wait_until(lambda: "worker: Warm shutdown (MainProcess)\n" in worker.printed)
        worker.send(signal.SIGQUIT)
        await asyncio.to_thread(worker.wait)
        await wait_until(lambda: not any(map(is_alive, left)))
    assert not relay.early


async def test_hints_wake_a_sender_behind_a_pooler_however_often_they_come(
    env: dict[str, str],
    redis: RedisServer,
    postgres_server: PostgresServer,
    postgres_installation: Installation,
    relay: ScriptedRelay,
) -> None:
    """A sender that cannot LISTEN gets the hint of a POST. Ten hints while it is paused wake it once."""
    port = notifier_process.find_free_port()
    with PgBouncer(postgres_server, "transaction", 5) as pooler:
        url = pooler.url(postgres_installation.settings.effective_database_url)
        installation = postgres_installation.with_settings(
            database_url=SecretStr(url), celery={"broker_url": SecretStr(redis.url)}
        )
        settings = {"NOTIFIER_DATABASE_URL": url, "NOTIFIER_SENDER__METRICS_PORT": str(port)}
        async with hosting_worker.run_worker(env | settings) as worker, installation.open_parts() as parts:
            async with installation.open_client(parts) as client:
                await api_caller.submit_mail(client)
            await relay.wait_for(1)
            await poll_until(lambda: hosting_worker.count_received(port))
            (sender,), hints = hosting_worker.list_senders(worker), (await hosting_worker.read_stats(redis))["hints"]
            before = await hosting_worker.count_received(port)
            os.kill(sender, signal.SIGSTOP)
            await asyncio.to_thread(hosting_worker.publish_hints, redis.url, 10)
            await poll_until(lambda: hosting_worker.has_hints(redis, hints + 10))
            os.kill(sender, signal.SIGCONT)
            await poll_until(lambda: hosting_worker.has_received(port, before + 1))
            await asyncio.to_thread(hosting_worker.publish_hints, redis.url, 1)
            await poll_until(lambda: hosting_worker.has_received(port, before + 2))
            assert await hosting_worker.count_received(port) == before + 2
            assert len(relay.received) == 1


REFUSALS = {
    "on SQLite": ({"DATABASE_URL": ""}, (), "a Celery worker needs PostgreSQL (NOTIFIER_DATABASE_URL); on SQLite"),
    "without a broker": ({"CELERY__BROKER_URL": ""}, (), "Celery needs NOTIFIER_CELERY__BROKER_URL, such as redis://"),
    "unknown broker": ({"CELERY__BROKER_URL": "http://h"}, (), "NOTIFIER_CELERY__BROKER_URL is no URL that Celery"),
    "wrong setting": ({"SENDER__LEASE": "x"}, (), "NOTIFIER_SENDER__LEASE: must be a number, and is 'x'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_worker_that_cannot_run_says_why_in_one_line(case: str, tmp_path: Path) -> None:
    """The line says what to do; there is no traceback, and the exit code is 2."""
    changes, options, line = REFUSALS[case]
    settings = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "CELERY__BROKER_URL": "redis://127.0.0.1:1/0"}
    env = notifier_process.without_coverage(notifier_process.build_environment(tmp_path, **{**settings, **changes}))
    command = [sys.executable, "-W", "ignore", "-m", "celery", "--app", APPLICATION, "worker", *options]
    ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    (error,) = ended.stderr.splitlines()
    assert error.startswith(f"notifier: {line}")
    assert (ended.returncode, ended.stdout) == (2, "")
