"""Each error has a page: what happened, what to do now, and nothing else of the program."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass

import httpx2
import pytest
from sqlalchemy import make_url, text
from support.console_client import SAME_ORIGIN, open_console
from support.seeded_installation import Installation
from support.staff_people import StaffScene

from notifier.audit import Actor
from notifier.console.pages.mail_page import REACH_OF_STAFF
from notifier.console.reading import MAX_READS, ConsoleBusyError, ReadSlots
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.runtime.wiring import ProcessParts


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Somebody without a role, signed in."""

    client: httpx2.AsyncClient
    parts: ProcessParts
    installation: Installation
    token: str  # of the session


@pytest.fixture
async def visitor(sqlite_installation: Installation) -> AsyncIterator[Visitor]:
    """A person who may look, and a browser."""
    async with sqlite_installation.open_parts() as parts:
        _, signed_in = await StaffScene(parts.database, parts.clock).create_signed_in("Vera")
        async with open_console(parts, signed_in.token) as client:
            yield Visitor(client=client, parts=parts, installation=sqlite_installation, token=signed_in.token)


async def test_what_one_may_not_do(visitor: Visitor) -> None:
    """403 says which roles may; a form of another site is refused before anything else, and says why."""
    refused = await visitor.client.get("/console/new-template")
    assert refused.status_code == 403
    assert "Your roles do not allow this." in refused.text
    assert "It needs the role admin or editor." in refused.text
    foreign = await visitor.client.post("/console/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert "This did not come from a page of the console." in foreign.text
    assert (await visitor.client.get("/console/me")).status_code == 200  # still signed in


async def test_what_is_not_there(visitor: Visitor) -> None:
    """404 for a page, a mail, a file and a form that do not exist; with the search box, to go on from there."""
    for path in ("nowhere", "mail/00000000-0000-7000-8000-000000000000", "static/0/console.css"):
        reply = await visitor.client.get(f"/console/{path}")
        assert (reply.status_code, "There is no such page." in reply.text) == (404, True), path
    assert 'role="search"' in (await visitor.client.get("/console/nowhere")).text
    assert (await visitor.client.post("/console/mail", headers=SAME_ORIGIN)).status_code == 404


async def test_a_fault_of_the_program(visitor: Visitor, capsys: pytest.CaptureFixture[str]) -> None:
    """500 has a number, under which the log has the error; the page says nothing of it."""
    async with visitor.parts.database.write() as connection:
        await connection.execute(text("UPDATE template_version SET source = '[]'"))
    reply = await visitor.client.get("/console/templates/welcome")
    assert reply.status_code == 500
    assert "Something went wrong on our side." in reply.text
    number = reply.text.partition("tell an operator this number: <code>")[2].partition("<")[0]
    assert len(number) == 16
    assert "Error" not in reply.text
    assert number in "".join(capsys.readouterr())


async def test_more_people_than_connections(visitor: Visitor) -> None:
    """503 while all connections of the console are in use, with the seconds after which one may try again."""
    site = wiring.build_site(visitor.parts)
    assert site.console is not None
    slots: ReadSlots = site.console.state.dependencies.read_slots
    async with open_console(visitor.parts, visitor.token, site=site) as client:
        for _ in range(MAX_READS):
            await slots.free.acquire()
        reply = await client.get("/console/mail")
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
        assert "Busy. Try again in a moment." in reply.text
        part = await client.get("/console/mail/new", headers={"HX-Request": "true"})
        assert (part.status_code, "<html" in part.text) == (503, False)
        with pytest.raises(ConsoleBusyError):  # what a mail says is read by the same connections
            await site.console.state.dependencies.previewer.view_content(
                REACH_OF_STAFF, generate_id(), actor=Actor(name="staff:test", at=visitor.parts.clock.now())
            )
        assert (await client.get("/readyz")).status_code == 200  # the API has its own
        for _ in range(MAX_READS):
            slots.free.release()
        pages = await asyncio.gather(*(client.get("/console/") for _ in range(10)))
        assert {page.status_code for page in pages} == {200}


async def test_a_database_that_takes_no_changes(visitor: Visitor) -> None:
    """503 while another program holds the database; pages that only read are shown all the while."""
    url = make_url(visitor.installation.settings.effective_database_url)
    form = {"time_zone": "Europe/Lisbon"}
    with closing(sqlite3.connect(str(url.database), isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(100):
            reply = await visitor.client.post("/console/me/preferences", data=form, headers=SAME_ORIGIN)
        assert reply.status_code == 503
        assert "The database does not answer." in reply.text
        assert int(reply.headers["retry-after"]) >= 1
        assert (await visitor.client.get("/console/me")).status_code == 200
        foreign.execute("ROLLBACK")
    assert (await visitor.client.post("/console/me/preferences", data=form, headers=SAME_ORIGIN)).status_code == 303
