"""The real processes of the producer's chaos tests: Notifier, forwarders and callers, and checks of the final state."""

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import select, text
from support import notifier_process
from support.notifier_process import NotifierProcess
from support.producer import order_process
from support.producer.caller_database import ORDERS, CallerDatabase

from notifier.db.engine import Database

TESTS = Path(__file__).parents[2]


class Notifier:
    """`notifier serve` on one port, restarted after each kill."""

    def __init__(self, database_url: str, key: str, env: dict[str, str]) -> None:
        self._database_url = database_url
        self.key = key
        self._env = env
        self._port = notifier_process.find_free_port()
        self._kills = 0

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        """The URL on which it listens."""
        return f"http://127.0.0.1:{self._port}"

    def kill_and_restart(self) -> None:
        """Kill it with SIGKILL, and start a new one on the same port and data."""
        self._process.kill()
        self._process.__exit__(None, None, None)
        self._start()

    def stop(self) -> None:
        """Stop it gracefully."""
        self._process.stop()

    async def accepted(self) -> Counter[UUID]:
        """Return the number of notifications for each idempotency key."""
        database = Database(self._database_url)
        async with database.read() as connection:
            rows = await connection.execute(text("SELECT idempotency_key FROM notification"))
            keys = Counter(UUID(row.idempotency_key) for row in rows)
        await database.close()
        return keys

    def _start(self) -> None:
        self._process = NotifierProcess("serve", "--port", str(self._port), env=self._env)
        self._process.wait_until_ready()


class Orders:
    """A caller's process (see `support.producer.order_process`)."""

    def __init__(self, url: str, way: str) -> None:
        env = notifier_process.without_coverage(notifier_process.build_environment(TESTS))
        env["PYTHONPATH"] = f"{TESTS}:{env.get('PYTHONPATH', TESTS.parent)}"
        command = [sys.executable, str(order_process.__file__), url, way]
        self._popen = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._popen.kill()
        self._popen.communicate()

    def hear(self) -> str:
        """Return the next word that the process prints."""
        assert self._popen.stdout is not None
        return self._popen.stdout.readline().strip()

    def end(self) -> None:
        """Let it finish the current order and end."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._popen.stdin = None
        assert self.hear() == "done"
        assert self._popen.wait(30) == 0

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._popen.kill()
        self._popen.wait()


def forwarder(caller_url: str, api_url: str, key: str, *flags: str) -> NotifierProcess:
    """Run `notifier forward` with small requests and a short lease, so that much happens between two kills."""
    env = notifier_process.build_environment(TESTS, URL=api_url, API_KEY=key, PRODUCER_DATABASE_URL=caller_url)
    return NotifierProcess(
        "forward", "--rows", "20", "--lease", "0.5", *flags, env=notifier_process.without_coverage(env)
    )


async def drained(caller: CallerDatabase, api_url: str, key: str) -> None:
    """Wait until a forwarder that is not killed has emptied the table."""
    with forwarder(caller.url, api_url, key) as running:
        await asyncio.to_thread(running.wait_until_ready)
        async with asyncio.timeout(60):
            while (await caller.backlog()).waiting:  # noqa: ASYNC110 - another process empties it
                await asyncio.sleep(0.05)
        assert await asyncio.to_thread(running.stop) == 0


async def committed(caller: CallerDatabase) -> set[UUID]:
    """Return the mails of the committed orders, which the producer table must have delivered."""
    mails = await caller.do(lambda connection: connection.execute(select(ORDERS.c.mail)).scalars().all())
    return set(mails)
