"""`notifier demo` neither reads nor changes a real installation that every variable points to."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from support import api_caller, notifier_process
from support.notifier_process import NotifierProcess
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.inbox.client import MailHogClient
from notifier.setting_source import list_variables
from notifier.settings import Settings

PORTS = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")


async def _queue_mail(installation: Installation) -> None:
    """Queue two mails that wait for a sender of the installation."""
    async with installation.open_parts() as parts, installation.open_client(parts) as client:
        for name in ("one", "two"):
            await api_caller.submit_mail(client, f"{name}@example.com")


def _files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file under a directory, with its time of change and its content."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


async def _rows(url: str) -> dict[str, list[str]]:
    """Every row of every table of a PostgreSQL database."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return {
            table: sorted(row["row"] for row in await connection.fetch(f"SELECT t::text AS row FROM {table} AS t"))
            for (table,) in tables
        }
    finally:
        await connection.close()


def _environment(installation: Installation, folder: Path) -> dict[str, str]:
    """Every variable, set for the real installation."""
    settings = installation.settings
    real = {
        "NOTIFIER_DATABASE_URL": settings.effective_database_url,
        "NOTIFIER_DATA_DIR": str(settings.data_dir),
        "NOTIFIER_FROM": "Real <real@real.example>",
        "NOTIFIER_BOUNCE_ADDRESS": "bounce@real.example",
        "NOTIFIER_PUBLIC_URL": "https://real.example",
        "NOTIFIER_TEMPLATES_DIR": "templates",
        "NOTIFIER_SMTP__HOST": settings.smtp.host,
        "NOTIFIER_SMTP__PORT": str(settings.smtp.port),
        "NOTIFIER_SMTP__SECURITY": "starttls",
        "NOTIFIER_RECIPIENTS__MODE": "redirect",
        "NOTIFIER_RECIPIENTS__REDIRECT_TO": "real@real.example",
        "NOTIFIER_LOG_LEVEL": "WARNING",
        "NOTIFIER_LOG_FORMAT": "json",
    }
    return notifier_process.build_environment(folder) | dict.fromkeys(list_variables(Settings), "5") | real


async def _try_demo(env: dict[str, str], folder: Path, look: Callable[[], Any]) -> dict[str, Any]:
    """Send one mail through a demo, check that `look` sees no change, and return the demo's output."""
    before = look()
    with NotifierProcess("demo", *PORTS, "--data-dir", str(folder / "demo"), "--json", env=env) as demo:
        places = await asyncio.to_thread(demo.wait_until_ready_json)
        headers = {"Authorization": f"Bearer {places['key']}"}
        async with httpx2.AsyncClient(base_url=places["api"], headers=headers) as client:
            path = (await client.post("/v1/notifications", json=WELCOME)).headers["location"]
            sent = await api_caller.wait_for_status(client, path, "sent")
        with MailHogClient(places["inbox"]) as inbox:
            mail = await asyncio.to_thread(inbox.wait_for, to="ada@example.com")
        assert await asyncio.to_thread(demo.stop) == 0
    assert (sent["to"], mail.subject) == ("ada@example.com", "Welcome to Larkspur, Ada")
    assert look() == before
    return places


async def test_no_variable_leads_the_demo_to_an_installation_on_sqlite(
    sqlite_installation: Installation, relay: ScriptedRelay, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The SQLite file, directory and relay are unchanged; the demo uses its own inbox and names what it ignores."""
    real, elsewhere = sqlite_installation, tmp_path_factory.mktemp("elsewhere")
    await _queue_mail(real)
    env = _environment(real, elsewhere)
    places = await _try_demo(env, elsewhere, lambda: _files(real.settings.data_dir))
    assert relay.connections == 0
    assert set(places["ignored"]) == set(list_variables(Settings)) - {"NOTIFIER_LOG_LEVEL", "NOTIFIER_LOG_FORMAT"}


async def test_no_variable_leads_the_demo_to_an_installation_on_postgresql(
    postgres_installation: Installation, relay: ScriptedRelay, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No row of the PostgreSQL database is changed or added, and none of its mails is sent."""
    real, elsewhere = postgres_installation, tmp_path_factory.mktemp("elsewhere")
    await _queue_mail(real)
    before = await _rows(real.settings.effective_database_url)
    await _try_demo(_environment(real, elsewhere), elsewhere, lambda: _files(real.settings.data_dir))
    assert await _rows(real.settings.effective_database_url) == before
    assert relay.connections == 0


async def test_wrong_values_do_not_stop_the_demo(tmp_path: Path) -> None:
    """With invalid variables and no data directory the demo runs in the current directory."""
    env = notifier_process.build_environment(tmp_path) | dict.fromkeys(list_variables(Settings), "/dev/null/?nonsense")
    places = await _try_demo(env, tmp_path, dict)
    assert set(places["ignored"]) == set(list_variables(Settings))


def test_its_directory_is_not_that_of_an_installation(tmp_path: Path) -> None:
    """Without a flag the data are in `var/demo` of the current directory, whatever variables and `.env` say."""
    (tmp_path / ".env").write_text("NOTIFIER_DATABASE_URL='postgresql://real.example\n")
    env = notifier_process.build_environment(
        tmp_path / "real", PUBLIC_URL="https://real.example", API__RATE_PER_MINUTE=" "
    )
    with NotifierProcess("demo", *PORTS, env=env, cwd=tmp_path) as demo:
        demo.wait_for_line("  Key")
        assert demo.wait_for_line("The demo has its own").endswith(
            "these variables: NOTIFIER_DATA_DIR, NOTIFIER_PUBLIC_URL."
        )
    assert (tmp_path / "var" / "demo" / "notifier.sqlite3").is_file()
    assert not (tmp_path / "real").exists()


@pytest.mark.parametrize("name", ["notifier.sqlite3", "journal/1.journal"])
def test_a_directory_of_an_installation_is_refused(tmp_path: Path, name: str) -> None:
    """A flag with a real installation's data directory ends the demo with one line and changes nothing."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"of a real installation")
    before = _files(tmp_path)
    refused = notifier_process.run_notifier(
        "demo", *PORTS, "--data-dir", str(tmp_path), env=notifier_process.build_environment(tmp_path), check=False
    )
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--data-dir" in refused.stderr
    assert _files(tmp_path) == before
