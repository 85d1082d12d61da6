"""A7, A21: many clients send the same keys at once while the API is killed with -9 again and again.

Each client repeats a key until it is answered 202. Nothing is sent: the mails wait until tomorrow, so that every row
that was written is still there at the end.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from chaos.fleet import Fleet
from chaos.held_connection import Held, Wire
from chaos.size import SEED, size
from sqlalchemy import func, select
from support.seeded_installation import WELCOME, Keys

from notifier.db.engine import Database
from notifier.db.tables import Notification, Table, get_columns

_notification = get_columns(Notification)

CLIENTS = size(10, 100)
KEYS = size(20, 200)
KILLS = size(1, 12)
PORTION = size(5, 20)  # keys of one batch
BATCHING = 10  # of so many clients one sends batches
PAUSE = (0.02, 0.2)  # seconds before a POST is repeated
# Seconds from the first POST with a key to a kill, so that some fall between its commit and its answer.
AFTER = (0.0, size(0.02, 0.1))
PATIENCE = 30.0
LOOK = 0.01  # seconds between two polls
ENGINES = size(("postgresql",), ("postgresql", "sqlite"))
COMMANDS = {"postgresql": "api", "sqlite": "serve"}
DATABASES = {"postgresql": "durable_database", "sqlite": "sqlite_database"}
WRITTEN = {  # by one POST
    "notification": 2,  # and its copy
    "notification_content": 1,  # they share it
    "notification_tag": 2,
    "outbox_entry": 2,
}
# A batch writes its row before its notifications, and each start of `serve` writes one.
OTHERS = {"batch", "sender_process", "template_use"}


@dataclass(frozen=True)
class Place:
    """A database of the test's own, and the command that answers POSTs over it."""

    url: str
    keys: Keys
    command: str


@dataclass(frozen=True)
class Line:
    """The API's connection to PostgreSQL through a proxy, and the test's own connection."""

    wire: Wire
    database: Database

    async def committed(self, name: str) -> None:
        """Wait until a row with this key is committed."""
        statement = select(_notification.id).where(_notification.idempotency_key == name)
        while True:
            async with self.database.read() as connection:
                if (await connection.execute(statement)).first() is not None:
                    return
            await asyncio.sleep(LOOK)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A 202 for one key."""

    id: str
    replayed: bool
    known_before: int  # answers to this key that were received before this request was sent


@dataclass
class Clients:
    """The shared state of all clients."""

    client: httpx2.AsyncClient
    body: dict[str, Any]
    names: Sequence[str]
    chance: random.Random
    answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    repeated: Counter[str] = field(default_factory=Counter)  # why POSTs were repeated
    begun: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))  # by key

    @property
    def count(self) -> int:
        """The number of answers."""
        return sum(map(len, self.answers.values()))

    async def singly(self) -> None:
        """Submit each key in a POST of its own."""
        for name in self.names:
            known_count = len(self.answers[name])
            self.begun[name].set()
            reply = await self._answer("/v1/notifications", self.body, {"Idempotency-Key": name})
            replayed = reply.headers.get("idempotent-replayed") == "true"
            self.answers[name].append(Answer(id=reply.json()["id"], replayed=replayed, known_before=known_count))

    async def in_batches(self) -> None:
        """Submit the same keys in batches."""
        for start in range(0, len(self.names), PORTION):
            names = self.names[start : start + PORTION]
            known_counts = [len(self.answers[name]) for name in names]
            for name in names:
                self.begun[name].set()
            items = [{"idempotency_key": name} for name in names]
            reply = await self._answer("/v1/notifications/batch", {"defaults": self.body, "notifications": items}, {})
            for name, known, result in zip(names, known_counts, reply.json()["results"], strict=True):
                self.answers[name].append(Answer(id=result["id"], replayed=result["replayed"], known_before=known))

    async def _answer(self, path: str, body: dict[str, Any], headers: dict[str, str]) -> httpx2.Response:
        """Repeat the request until it is answered with 202."""
        while True:
            try:
                reply = await self.client.post(path, json=body, headers=headers)
            except httpx2.TransportError as error:
                self.repeated[type(error).__name__] += 1
            else:
                if reply.status_code < 500 and "idempotency_in_progress" not in reply.text:
                    assert reply.status_code == 202, reply.text
                    return reply
                self.repeated[str(reply.status_code)] += 1
            await asyncio.sleep(self.chance.uniform(*PAUSE))


async def _rows(database: Database) -> Counter[str]:
    """Return the number of rows of each table."""
    tables = [table for table in Table.metadata.sorted_tables if table.name not in OTHERS]
    async with database.read() as connection:
        return Counter(
            {table.name: (await connection.scalar(select(func.count()).select_from(table))) or 0 for table in tables}
        )


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest) -> Place:
    """The installation whose API is killed."""
    url, keys = request.getfixturevalue(DATABASES[request.param])
    return Place(url=url, keys=keys, command=COMMANDS[request.param])


@pytest.mark.timeout(size(120, 900))
async def test_the_same_keys_while_the_api_is_killed(place: Place, tmp_path: Path) -> None:
    """Each key has one row and one id in all answers; a request sent after an answer gets a replay."""
    database = Database(place.url)
    before = await _rows(database)
    settings = {"DATABASE_URL": place.url, "RECIPIENTS__MODE": "live", "LOG_LEVEL": "WARNING"}
    async with AsyncExitStack() as stack:
        line = None
        if not database.is_sqlite:
            line = Line(await stack.enter_async_context(Wire(place.url)), database)
            settings["DATABASE_URL"] = line.wire.url
        fleet = await stack.enter_async_context(Fleet(folder=tmp_path, settings=settings))
        await fleet.start_api(command=place.command)
        clients = await _submit_from_all(fleet, place.keys, line)
    _assert_answers(clients)
    written = await _rows(database) - before
    await database.close()
    assert written == Counter({name: KEYS * rows for name, rows in WRITTEN.items()})
    lost = sum(all(answer.replayed for answer in answers) for answers in clients.answers.values())
    summary = {"seed": SEED, "answers": clients.count, "kills": KILLS, "answers lost after the commit": lost}
    print(f"\n{place.command}: {summary}, repeated: {dict(clients.repeated)}")  # noqa: T201 - for who watches
    assert sum(clients.repeated.values()) >= KILLS
    assert lost or database.is_sqlite


async def _submit_from_all(fleet: Fleet, keys: Keys, line: Line | None) -> Clients:
    """Run all clients at once, and kill the API soon after the first POST with some of the keys."""
    chance = random.Random(SEED)
    tomorrow = {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    body = WELCOME | {"cc": ["bob@example.com"], "tags": ["one"]} | tomorrow
    limits = httpx2.Limits(max_connections=CLIENTS)
    headers = {"Authorization": f"Bearer {keys.shop}"}
    url = f"http://127.0.0.1:{fleet.api_port}"
    async with httpx2.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=100) as client:
        clients = Clients(client=client, body=body, names=[f"order-{n}" for n in range(KEYS)], chance=chance)
        asking = [
            asyncio.create_task(clients.in_batches() if n % BATCHING == 0 else clients.singly()) for n in range(CLIENTS)
        ]
        (api,) = fleet.members
        for number, key in enumerate(sorted(chance.sample(range(KEYS // 2), KILLS))):
            name = clients.names[key]
            if line is not None and number % 3 == 0:
                await _kill_before_the_answer(fleet, api, line, name)
            else:
                await clients.begun[name].wait()
                await asyncio.sleep(chance.uniform(*AFTER))
                await fleet.kill(api)
            fleet.revive(api)
            await fleet.revived()
        await asyncio.gather(*asking)
    return clients


async def _kill_before_the_answer(fleet: Fleet, api: str, line: Line, name: str) -> None:
    """Kill the API after the row with this key is committed and before its answer is sent."""
    with line.wire.held(Held.REPLIES, since=f'"idempotency_key":"{name}"'.encode()) as began:
        async with asyncio.timeout(PATIENCE):
            await began.wait()
            await line.committed(name)
        await fleet.kill(api)


def _assert_answers(clients: Clients) -> None:
    assert set(clients.answers) == set(clients.names)
    for name, answers in clients.answers.items():
        assert len(answers) == CLIENTS
        assert len({answer.id for answer in answers}) == 1, name
        assert [answer.known_before for answer in answers if not answer.replayed] in ([], [0]), name
    assert len({answers[0].id for answers in clients.answers.values()}) == KEYS
