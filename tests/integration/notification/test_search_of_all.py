"""Search over all services compared with a sorted list: any spread over services, filter, page size and bound."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.search_archive import Archive

from notifier import email_address
from notifier.auth import service_admin
from notifier.db.engine import Database
from notifier.lookup.index_walk import NotificationFilter
from notifier.lookup.notification_search import PageRequest, search_notifications
from notifier.lookup.similar_addresses import list_similar_addresses
from notifier.states import Status

if TYPE_CHECKING:
    from support.postgres_cluster import PostgresServer
    from support.seeded_installation import PostgresSeed, SqliteSeed

QUIET = [f"quiet{number}" for number in range(9)]
SPREAD = ("shop", "shop", "shop", "shop", "other", *QUIET[:-1])
"""One busy service, several with few mails, and one that never sends any."""
ROWS = 240
MAX_PAGES = 20
"""Pages of one search, unless the bound makes them short: single rows to the end of a long list show nothing new."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Many notifications of many services on each engine; tests only add to them."""
    folder = tmp_path_factory.mktemp("all")
    if request.param == "sqlite":
        sqlite: SqliteSeed = request.getfixturevalue("sqlite_seed")
        yield _fill(sqlite.copy(folder))
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    seed: PostgresSeed = request.getfixturevalue("postgres_seed")
    name = seed.create()
    yield _fill(server.url(name))
    seed.drop(name)


def _fill(url: str) -> Archive:
    archive = Archive(database=Database(url), services=SPREAD)

    async def fill() -> None:
        async with archive.database.write() as connection:
            for name in QUIET:
                await service_admin.create_service(connection, name, from_domains=[], now=archive.now)
        await archive.add(ROWS)
        await archive.database.close()

    asyncio.run(fill())
    return archive


@pytest.fixture
async def archive(filled: Archive) -> AsyncIterator[Archive]:
    """The notifications in memory, with an open database."""
    filled.database = Database(filled.database.url)
    yield filled
    await filled.database.close()


async def _search(archive: Archive, query: dict[str, Any], limit: int, max_rows: int, adds: int = 0) -> list[list[str]]:
    """Every page of a search; between pages more mails may be added."""
    pages: list[list[str]] = []
    before = None
    while True:
        request = PageRequest(limit=limit, before=before, max_rows=max_rows)
        async with archive.database.read() as connection:
            page = await search_notifications(connection, None, _build_filter(query), request, now=archive.now)
        pages.append([str(view.id) for view in page.views])
        assert len(page.views) <= limit
        if page.next is None:
            return pages
        assert before is None or page.next < before
        before = page.next
        if adds:
            await archive.add(adds, since=timedelta(days=1))


def _build_filter(query: dict[str, Any]) -> NotificationFilter:
    fields = dict(query)
    status = fields.pop("status", None)
    if status in ("scheduled", "queued"):
        fields |= {"status": Status.QUEUED, "scheduled": status == "scheduled"}
    elif status:
        fields["status"] = Status(status)
    for name in ("created_after", "created_before"):
        if name in fields:
            fields[name] = datetime.fromisoformat(fields[name])
    fields["copies"] = fields.get("copies") == "true"
    return NotificationFilter(**fields)


async def test_every_filter_finds_each_once_in_order(archive: Archive) -> None:
    """Any filter, page size and bound: all pages together are the sorted list."""
    draw = random.Random(4)
    nonempty = 0
    for query in archive.queries(pairs=60):
        query.pop("batch_id", None)
        limit, max_rows = draw.choice((1, 3, 7, 50, 200)), draw.choice((12, 25, 100, 2000))
        expected = archive.expected(None, query)
        limit = max(limit, len(expected) // MAX_PAGES)
        pages = await _search(archive, query, limit, max_rows)
        assert [id_ for page in pages for id_ in page] == expected, (query, limit, max_rows)
        nonempty += len(expected) > limit
    assert nonempty > 40


async def test_mails_that_come_meanwhile_disturb_nothing(archive: Archive) -> None:
    """What was there at the start comes once and in order, while every service gets more."""
    for query in ({}, {"to": "bob@example.com"}, {"tag": "order"}, {"status": "queued"}, {"status": "failed"}):
        before = archive.expected(None, query)
        ids = [id_ for page in await _search(archive, query, 5, 60, adds=3) for id_ in page]
        assert len(before) > 5
        assert [id_ for id_ in ids if id_ in set(before)] == before, query
        assert len(ids) == len(set(ids))
        assert set(ids) <= set(archive.expected(None, query))


async def test_a_page_of_few_rows_ends_at_the_horizon(archive: Archive) -> None:
    """With a small bound pages are short, and the search goes on behind them."""
    pages = await _search(archive, {"to": "bob@example.com", "status": "failed"}, 50, 15)
    assert sum(len(page) < 50 for page in pages[:-1]) > 2


async def test_addresses_that_begin_alike_are_found_in_order(archive: Archive) -> None:
    """Each address once, by its bytes, over all services; nothing behind the prefix."""
    every = sorted({email_address.get_address_key(row.to) for row in archive.rows})
    async with archive.database.read() as connection:
        for prefix in ("", "b", "bob@", "ca", "d'", "zz", "%", "B"):
            found = await list_similar_addresses(connection, prefix, limit=10)
            assert found == [address for address in every if address.startswith(prefix)], prefix
        assert await list_similar_addresses(connection, "", limit=2) == every[:2]
