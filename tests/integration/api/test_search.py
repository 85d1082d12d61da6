"""`GET /v1/notifications` compared with a filter in Python: each filter, pairs, pages, concurrent inserts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from integration.api.refusal import faults
from sqlalchemy import update
from support.search_archive import SERVICES, Archive
from support.seeded_installation import Installation, PostgresSeed, SqliteSeed

from notifier.auth import service_admin
from notifier.db.engine import Database
from notifier.db.tables import Notification, get_columns
from notifier.lookup import notification_search
from notifier.lookup.index_walk import NotificationFilter
from notifier.lookup.notification_search import NotificationPage, PageRequest
from notifier.runtime import wiring
from notifier.settings import Settings
from notifier.states import Status

if TYPE_CHECKING:
    from support.postgres_cluster import PostgresServer

ROWS = 300
PATH = "/v1/notifications"
ENGINES = ("sqlite", "postgresql")


@pytest.fixture(scope="module", params=ENGINES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Installation, Archive]]:
    """An installation with many notifications, shared by this file on each engine; tests only add to it."""
    folder = tmp_path_factory.mktemp("archive")
    if request.param == "sqlite":
        sqlite: SqliteSeed = request.getfixturevalue("sqlite_seed")
        yield _fill(
            Installation(settings=Settings(database_url=sqlite.copy(folder), data_dir=folder), keys=sqlite.keys)
        )
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    seed: PostgresSeed = request.getfixturevalue("postgres_seed")
    name = seed.create()
    yield _fill(Installation(settings=Settings(database_url=server.url(name), data_dir=folder), keys=seed.keys))
    seed.drop(name)


def _fill(installation: Installation) -> tuple[Installation, Archive]:
    archive = Archive(database=Database(installation.settings.effective_database_url))

    async def fill() -> None:
        await archive.add(ROWS)
        await archive.database.close()

    asyncio.run(fill())
    return installation, archive


@pytest.fixture
async def parts(filled: tuple[Installation, Archive]) -> AsyncIterator[wiring.ProcessParts]:
    """The parts of an API process on that installation."""
    installation, archive = filled
    async with installation.open_parts() as base:
        archive.database = base.database
        yield base


@pytest.fixture
def archive(filled: tuple[Installation, Archive], parts: wiring.ProcessParts) -> Archive:
    """The notifications in memory."""
    return filled[1]


@pytest.fixture
async def client(filled: tuple[Installation, Archive], parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop."""
    async with filled[0].open_client(parts) as caller:
        yield caller


async def _pages(client: httpx2.AsyncClient, query: dict[str, Any]) -> AsyncIterator[list[str]]:
    """Follow the `Link` to the end; yield the ids of each page."""
    reply = await client.get(PATH, params=query)
    while True:
        assert reply.status_code == 200, reply.text
        page = reply.json()
        yield [notification["id"] for notification in page["notifications"]]
        link = reply.links.get("next")
        assert (link is None) == (page["next"] is None)
        if link is None:
            return
        reply = await client.get(link["url"])


async def _all(client: httpx2.AsyncClient, query: dict[str, Any]) -> list[str]:
    return [id_ async for page in _pages(client, query) for id_ in page]


async def test_each_filter_and_each_pair_finds_what_a_plain_filter_does(
    client: httpx2.AsyncClient, archive: Archive
) -> None:
    """Each value, alone and in pairs, gives the same ids in order as the plain filter, and only own rows."""
    found_ids = set()
    for query in archive.queries(pairs=40):
        ids = await _all(client, query | {"limit": "200"})
        assert ids == archive.expected("shop", query), query
        if ids:
            found_ids.add(tuple(query))
    assert len(found_ids) > 15  # not by being empty


async def test_another_service_finds_its_own(
    filled: tuple[Installation, Archive], parts: wiring.ProcessParts, archive: Archive
) -> None:
    """Each value also works for another service, even for a shared batch or recipient."""
    async with filled[0].open_client(parts, filled[0].keys.other) as other:
        for query in archive.queries(pairs=10):
            assert await _all(other, query | {"limit": "200"}) == archive.expected("other", query), query


async def test_the_pages_of_a_link_have_each_once_in_order(client: httpx2.AsyncClient, archive: Archive) -> None:
    """For any page size and filter each id comes once in order, and the link keeps the filter."""
    for limit in ("7", "50"):
        for query in (
            {},
            {"copies": "true"},
            {"tag": "order"},
            {"status": "sent"},
            {"status": "failed"},
            {"to": "bob@example.com"},
        ):
            pages = [page async for page in _pages(client, query | {"limit": limit})]
            assert [id_ for page in pages for id_ in page] == archive.expected("shop", query), query
            assert all(len(page) == int(limit) for page in pages[:-1])


async def test_the_pages_hold_while_more_come(client: httpx2.AsyncClient, archive: Archive) -> None:
    """Rows that exist at the start come once and in order while others are added."""
    for query in ({}, {"status": "queued"}, {"status": "bounced"}, {"template": "welcome"}, {"tag": "invoice"}):
        before = archive.expected("shop", query)
        seen: list[str] = []
        async for page in _pages(client, query | {"limit": "5"}):
            seen += page
            await archive.add(3, since=timedelta(days=1))
        assert len(before) > 5
        assert [id_ for id_ in seen if id_ in set(before)] == before, query
        assert set(seen) <= set(archive.expected("shop", query))
        assert all(newer > older for newer, older in pairwise(seen))


async def _page(archive: Archive, filters: NotificationFilter, which: PageRequest) -> NotificationPage:
    async with archive.database.read() as connection:
        service = await service_admin.find_service(connection, SERVICES[0])
        return await notification_search.search_notifications(connection, service, filters, which, now=archive.now)


async def test_a_page_that_looks_at_few_rows_goes_on_behind_them(archive: Archive) -> None:
    """Pages may be short or empty before the end; together they are complete."""
    short = 0
    filters = (
        NotificationFilter(status=Status.SENT, template="welcome"),
        NotificationFilter(tag="order", template="welcome"),
        NotificationFilter(to="bob@example.com", status=Status.FAILED),
        NotificationFilter(status=Status.QUEUED, scheduled=True, tag="ü mlaut"),
        NotificationFilter(created_before=archive.now - timedelta(days=9), status=Status.SENT),
    )
    for item in filters:
        whole = await _page(archive, item, PageRequest(limit=1000))
        assert whole.views
        assert whole.next is None
        for look in (2, 5):
            pages = [await _page(archive, item, PageRequest(limit=3, max_rows=look))]
            while (before := pages[-1].next) is not None:
                pages.append(await _page(archive, item, PageRequest(limit=3, before=before, max_rows=look)))
            assert [view.id for page in pages for view in page.views] == [view.id for view in whole.views], (item, look)
            short += sum(len(page.views) < min(look, 3) for page in pages[:-1])
    assert short > 15


async def test_a_lost_reply_is_found_by_its_idempotency_key(client: httpx2.AsyncClient, archive: Archive) -> None:
    """Only the own notification with exactly this key is found; a search of all services finds those of all."""
    pair = [next(row for row in archive.rows if row.service == name and not row.is_copy) for name in SERVICES]
    async with archive.database.write() as connection:
        for row in pair:
            await connection.execute(
                update(Notification).where(get_columns(Notification).id == row.id).values(idempotency_key="order 7%")
            )
    own, other = (str(row.id) for row in pair)
    key = {"idempotency_key": "order 7%"}
    assert await _all(client, key) == [own]
    assert await _all(client, key | {"status": "scheduled", "created_before": "2020-01-01T00:00:00Z"}) == []
    for foreign in ("order 7", "Order 7%", '"order 7%"', "ö"):
        assert await _all(client, {"idempotency_key": foreign}) == []
    async with archive.database.read() as connection:
        page = await notification_search.search_notifications(
            connection, None, NotificationFilter(idempotency_key="order 7%"), PageRequest(limit=5), now=archive.now
        )
    assert {str(view.id) for view in page.views} == {own, other}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("idempotency_key", ("", "x" * 256)),
        ("status", ("", "SENT", "gone", "sent,failed")),
        ("to", ("x" * 321,)),
        ("template", ("x" * 65,)),
        ("tag", ("x" * 65,)),
        ("batch_id", ("", "17", "order")),
        ("created_after", ("", "yesterday", "2026-11-24T08:00:00", "2026-13-01T00:00:00Z")),
        ("created_before", ("2026-11-24 25:00Z",)),
        ("copies", ("perhaps",)),
        ("limit", ("0", "201", "ten")),
        ("before", ("17",)),
        ("colour", ("red",)),
    ],
)
async def test_a_value_that_cannot_be_is_refused(
    client: httpx2.AsyncClient, name: str, values: tuple[str, ...]
) -> None:
    """Invalid values and unknown filters are 422 with a pointer."""
    for value in values:
        ((pointer, _),) = faults(await client.get(PATH, params={name: value}))
        assert pointer == f"/query/{name}", value


async def test_values_at_the_edges_are_answered(client: httpx2.AsyncClient, archive: Archive) -> None:
    """The smallest and largest times and ids get a page; NUL is refused."""
    every = archive.expected("shop", {})
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
    for query, ids in (
        ({"created_after": first}, every),
        ({"created_after": last}, []),
        ({"created_before": first}, []),
        ({"created_before": last}, every),
        ({"created_after": "0001-01-01T00:00:00+14:00"}, every),
        ({"created_before": "9999-12-31T23:59:59-12:00"}, every),
        ({"before": "00000000-0000-0000-0000-000000000000"}, []),
        ({"before": "ffffffff-ffff-ffff-ffff-ffffffffffff"}, every),
    ):
        assert await _all(client, query | {"limit": "200"}) == ids, query
    texts = [(PATH, name) for name in ("to", "template", "tag", "idempotency_key")]
    for path, name in (*texts, ("/v1/suppressions", "address"), ("/v1/audit", "actor")):
        reply = await client.get(path, params={name: "a\0b"})
        assert faults(reply) == {(f"/query/{name}", "invalid_parameter")}, reply.text
