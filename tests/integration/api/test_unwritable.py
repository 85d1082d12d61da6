"""Readiness while nothing can be written: a full disk or a read-only database, and the recovery."""

import asyncio
import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest
from integration.api.foreign_transaction import open_foreign_transaction
from pydantic import SecretStr
from sqlalchemy import make_url, text
from support.fresh_probes import fetch_fresh
from support.seeded_installation import WELCOME, Installation

from notifier.db.write_probe import PROBE_BYTES
from notifier.health import checks
from notifier.runtime import wiring

LARGE = {"to": "ada@example.com", "content": {"subject": "s", "text": "x" * 60_000}}
_FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON notification FOR EACH ROW EXECUTE FUNCTION full_disk();
CREATE TRIGGER full_disk BEFORE INSERT ON attachment FOR EACH ROW EXECUTE FUNCTION full_disk()
"""
on_sqlite = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)


async def _ready(client: httpx2.AsyncClient) -> tuple[int, str]:
    """Status of /readyz, and what it says of the database."""
    reply = await fetch_fresh(client, "/readyz")
    (detail,) = [check["detail"] for check in reply.json()["checks"] if check["name"] == "database"]
    return reply.status_code, detail


async def _fill_up(client: httpx2.AsyncClient) -> None:
    """Post until it is refused."""
    for _ in range(2000):
        reply = await client.post("/v1/notifications", json=LARGE)
        if reply.status_code != 202:
            assert (reply.status_code, reply.json()["code"]) == (503, "database_unavailable")
            return
    raise AssertionError("it never filled up")


def _enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)


def _empty(disk: Path) -> None:
    (disk / "filler").unlink(missing_ok=True)


def _fill(disk: Path) -> None:
    """Fill the free space."""
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of this process's files, as if the disk were full."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


async def _limit_pages(parts: wiring.ProcessParts, pages: str) -> None:
    """Limit the pages of the only writing connection."""
    async with parts.database.write() as connection:
        number = (await connection.execute(text(f"SELECT {pages}"))).scalar_one()
        await connection.execute(text(f"PRAGMA max_page_count = {number}"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
async def on_small_disk(
    sqlite_database: tuple[str, object], installation: Installation, small_disk: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    """The API with SQLite on that file system."""
    seed = Path(str(make_url(sqlite_database[0]).database))
    moved = shutil.copy(seed, small_disk)
    here = installation.with_settings(data_dir=small_disk, database_url=SecretStr(f"sqlite:///{moved}"))
    async with here.open_parts() as parts, here.open_client(parts) as client:
        yield client


@on_sqlite
async def test_a_full_disk_is_not_ready(on_small_disk: httpx2.AsyncClient, small_disk: Path) -> None:
    """c30: while POSTs are 503, /readyz names the full disk; with space it is ready at once."""
    assert (await _ready(on_small_disk))[0] == 200
    (small_disk / "large").write_bytes(b"x" * 200_000)
    await _fill_up(on_small_disk)
    for _ in range(2):
        status, detail = await _ready(on_small_disk)
        assert (status, "disk is full" in detail, str(small_disk) in detail) == (503, True, False)
    (small_disk / "large").unlink()
    await asyncio.to_thread(_enlarge, small_disk)
    assert (await on_small_disk.post("/v1/notifications", json=LARGE)).status_code == 202
    assert await _ready(on_small_disk) == (200, "SQLite answers")


@on_sqlite
async def test_a_disk_that_somebody_else_filled_is_not_ready(
    on_small_disk: httpx2.AsyncClient, small_disk: Path
) -> None:
    """A disk filled by another program is noticed without a write of ours."""
    assert (await on_small_disk.post("/v1/notifications", json=WELCOME)).status_code == 202
    _fill(small_disk)
    status, detail = await _ready(on_small_disk)
    assert (status, "disk is full" in detail) == (503, True)
    assert (await on_small_disk.get("/livez")).status_code == 200
    (small_disk / "filler").unlink()
    assert (await _ready(on_small_disk))[0] == 200


@on_sqlite
async def test_a_disk_that_was_full_before_the_start_is_not_ready(
    on_small_disk: httpx2.AsyncClient, small_disk: Path
) -> None:
    """SQLite cannot create its side files and so cannot read; the reason is the disk."""
    _fill(small_disk)
    status, detail = await _ready(on_small_disk)
    assert (status, "No space left on device" in detail) == (503, True)
    _empty(small_disk)
    assert (await _ready(on_small_disk))[0] == 200


@on_sqlite
async def test_a_database_that_may_not_grow_is_not_ready(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts
) -> None:
    """SQLite's page limit counts as a full disk; the probe leaves no data."""
    await _limit_pages(parts, "(SELECT page_count FROM pragma_page_count())")
    await _fill_up(client)
    assert (await _ready(client))[0] == 503
    await _limit_pages(parts, "1000000")
    assert await _ready(client) == (200, "SQLite answers")
    async with parts.database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM attachment"))).scalar_one() == 0
        assert (await connection.execute(text("PRAGMA integrity_check"))).scalar_one() == "ok"
    async with parts.database.write() as connection:
        assert (await connection.execute(text("PRAGMA cache_size"))).scalar_one() == -2000


@on_sqlite
async def test_files_that_may_not_grow_are_not_ready(client: httpx2.AsyncClient, installation: Installation) -> None:
    """A file size limit (ulimit -f) is reported as a disk error."""
    file = str(make_url(installation.settings.effective_database_url).database)
    await client.post("/v1/notifications", json=WELCOME)
    with _file_size_limit(os.stat(file).st_size + 100_000):  # noqa: PTH116 - asynchronous code has no Path.stat
        await _fill_up(client)
        status, detail = await _ready(client)
        assert (status, "nothing can be written" in detail) == (503, True)
    assert (await _ready(client))[0] == 200


@on_sqlite
async def test_a_small_write_that_still_fits_does_not_make_it_ready(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts
) -> None:
    """Small writes may succeed where a mail does not fit; it stays not ready."""
    await _limit_pages(parts, "(SELECT page_count + 20 FROM pragma_page_count())")
    await _fill_up(client)
    async with parts.database.write() as connection:
        await connection.execute(text("UPDATE service SET name = name"))
    assert (await _ready(client))[0] == 503


@on_sqlite
async def test_a_writer_that_is_busy_is_no_fault(client: httpx2.AsyncClient, installation: Installation) -> None:
    """A short lock by another program does not make it unready."""
    file = str(make_url(installation.settings.effective_database_url).database)
    with closing(sqlite3.connect(file, isolation_level=None)) as foreign:
        foreign.execute("BEGIN IMMEDIATE")
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 503
        assert (await _ready(client))[0] == 200


@on_sqlite
async def test_a_well_database_is_not_written_to(client: httpx2.AsyncClient, installation: Installation) -> None:
    """Without a failed write, readiness writes nothing."""
    file = f"{make_url(installation.settings.effective_database_url).database}-wal"
    await client.post("/v1/notifications", json=WELCOME)
    before = os.stat(file).st_size  # noqa: PTH116 - asynchronous code has no Path.stat
    assert (await _ready(client))[0] == 200
    grown = os.stat(file).st_size - before  # noqa: PTH116
    assert grown < PROBE_BYTES / 4  # which template was used when is written a moment after the POST


async def test_postgresql_without_room_is_not_ready(postgres_installation: Installation) -> None:
    """After 53100 it is not ready, with the reason, until a write of a mail's size succeeds."""
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        async with open_foreign_transaction(postgres_installation.settings) as holder:
            await holder.execute(_FULL)
            await holder.commit()
        assert (await _ready(client))[0] == 200
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 503
        for _ in range(2):
            status, detail = await _ready(client)
            assert (status, "disk is full" in detail) == (503, True)
        async with open_foreign_transaction(postgres_installation.settings) as holder:
            await holder.execute("DROP FUNCTION full_disk CASCADE")
            await holder.commit()
        assert await _ready(client) == (200, "PostgreSQL answers")
        async with parts.database.read() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM attachment"))).scalar_one() == 0


async def test_read_only_postgresql_is_not_ready(postgres_installation: Installation) -> None:
    """A read-only server is noticed without a write, and replaced by a writable one."""
    settings = postgres_installation.settings
    async with open_foreign_transaction(settings) as holder:
        await holder.execute(f"ALTER DATABASE {holder.database} SET default_transaction_read_only = on")
        await holder.commit()
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        status, detail = await _ready(client)
        assert (status, "read-only" in detail) == (503, True)
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 503
        async with open_foreign_transaction(settings) as holder:
            await holder.execute("SET default_transaction_read_only = off")
            await holder.commit()
            await holder.execute(f"ALTER DATABASE {holder.database} RESET default_transaction_read_only")
            await holder.commit()
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202
        assert await _ready(client) == (200, "PostgreSQL answers")


@on_sqlite
async def test_doctor_finds_it_without_having_seen_a_write_fail(
    on_small_disk: httpx2.AsyncClient, installation: Installation, small_disk: Path
) -> None:
    """`doctor` tries to write a file beside the database and in the data directory."""
    assert (await on_small_disk.post("/v1/notifications", json=WELCOME)).status_code == 202
    here = installation.with_settings(
        data_dir=small_disk, database_url=SecretStr(f"sqlite:///{small_disk}/notifier.sqlite3")
    )
    async with here.open_parts() as parts:
        for full in (False, True, False):
            (_fill if full else _empty)(small_disk)
            failed_checks = [
                *await checks.check_database(parts.database, thorough=True),
                *checks.check_data_directory(here.settings),
            ]
            bad = {finding.name: finding.detail for finding in failed_checks if not finding.ok}
            assert set(bad) == ({"database", "data_dir"} if full else set())
            assert all("No space left on device" in detail for detail in bad.values())


async def test_a_sender_without_room_for_its_journal_is_not_ready(
    postgres_installation: Installation, small_disk: Path
) -> None:
    """A sender is not ready while its journal's disk is full, and ready with space."""
    here = postgres_installation.with_settings(data_dir=small_disk)
    async with here.open_parts() as parts, wiring.run_sender(parts) as running:
        assert all(finding.ok for finding in await running.readiness(parts.database))
        _fill(small_disk)
        (journal,) = [finding for finding in await running.readiness(parts.database) if finding.name == "journal"]
        assert not journal.ok
        assert "No space left on device" in journal.detail
        (small_disk / "filler").unlink()
        assert all(finding.ok for finding in await running.readiness(parts.database))
