"""Fixtures for all tests: a database of the test's own on both engines, and a scripted relay."""

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from support import postgres_cluster, run_order, run_selection
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation, Keys, PostgresSeed, SqliteSeed

from notifier.cli.entry_point import GC_THRESHOLD_AT_START
from notifier.rendering import preview_pool
from notifier.runtime import wiring
from notifier.settings import RecipientsMode, RecipientsSettings, SenderSettings, Settings
from notifier.smtp_settings import SmtpSettings
from notifier.telemetry.logging import add_request_id

# Otherwise each process that a test starts compiles the package again, which takes seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ENGINES = ("sqlite", "postgresql")
hypothesis.settings.register_profile("any-machine", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("any-machine")

REPEATED_ON_POSTGRES = {"api", "client", "notification", "templating", "webhooks"}
"""Folders whose tests run on both engines to find differences, not to cover more code."""


gc.disable()  # while tests are collected: nothing of that is garbage, and looking took a third longer


def pytest_sessionstart() -> None:
    """Refuse a `.env` in the checkout, because the commands that tests run would read it."""
    if Path(".env").exists():
        pytest.exit("the tests' commands would read the .env in this directory: move it away", returncode=2)


def pytest_collection_finish() -> None:
    """Collect garbage once the tests are known, as often as the service does: Python's default costs a tenth more."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD_AT_START)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run each value in one setting only, and measure no coverage of repetitions. Tests that are named all run."""
    for item in items:
        if _is_repetition(item.path.relative_to(Path(__file__).parent).parts, item.name):
            item.add_marker("no_cover")
    if not run_selection.EVERYTHING and not any("::" in argument for argument in config.args):
        left_out = run_selection.list_left_out([item.nodeid for item in items])
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]
    items[:] = run_order.spread_slow_tests(items, Path(__file__).parent)


def pytest_runtest_logstart(location: tuple[str, int | None, str]) -> None:
    """Leave what survived earlier files out of garbage collections: they took a second, which time limits counted."""
    if location[0] != _collected_file[0]:
        _collected_file[0] = location[0]
        gc.collect()
        gc.freeze()


_collected_file = [""]
PRIORITY_FILES = frozenset({"test_pace.py", "test_conversion_process.py"})
"""Tests of the priority of editors' children."""


@pytest.fixture(autouse=True)
def _fair_priority(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give editors' children the priority of the test, because on a busy host a lower one gets no processor time."""
    niceness = preview_pool.PREVIEW_NICENESS
    if request.path.name not in PRIORITY_FILES:
        preview_pool.PREVIEW_NICENESS = 0
    yield
    preview_pool.PREVIEW_NICENESS = niceness


def _is_repetition(place: tuple[str, ...], name: str) -> bool:
    if place[0] in {"acceptance", "chaos", "guards", "sabotage"}:
        return True
    if place[:2] == ("integration", "smtp"):
        return "uvloop" in name
    return place[0] == "integration" and place[1] in REPEATED_ON_POSTGRES and "[postgresql" in name


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    """Configure plain logs: structlog's default formats each traceback with all locals, which blocks for a second.

    Afterwards the root logger is restored, because the next test would write to a closed stream.
    """
    level = structlog.stdlib.add_log_level
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.reset_defaults()
    structlog.configure(processors=[level, add_request_id, plain], cache_logger_on_first_use=False)
    root = logging.getLogger()
    handlers, root_level = [*root.handlers], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(root_level)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres_cluster.PostgresServer]:
    server = postgres_cluster.start_server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_seed(postgres_server: postgres_cluster.PostgresServer) -> Iterator[PostgresSeed]:
    seed = PostgresSeed(postgres_server)
    yield seed
    seed.close()


@pytest.fixture(scope="session")
def sqlite_seed(tmp_path_factory: pytest.TempPathFactory) -> SqliteSeed:
    return SqliteSeed(tmp_path_factory.mktemp("seed"))


@pytest.fixture
def sqlite_database(sqlite_seed: SqliteSeed, tmp_path: Path) -> tuple[str, Keys]:
    return sqlite_seed.copy(tmp_path), sqlite_seed.keys


@pytest.fixture
def postgres_database(
    postgres_seed: PostgresSeed, postgres_server: postgres_cluster.PostgresServer
) -> Iterator[tuple[str, Keys]]:
    name = postgres_seed.create()
    yield postgres_server.url(name), postgres_seed.keys
    postgres_seed.drop(name)


def _installation(url: str, keys: Keys, folder: Path, relay_port: int) -> Installation:
    settings = Settings(
        database_url=url,
        data_dir=folder,
        smtp=SmtpSettings(port=relay_port),
        sender=SenderSettings(concurrency=4, grace=5, schedules=False),  # no run begins by itself
        recipients=RecipientsSettings(mode=RecipientsMode.LIVE),
        from_="Notifier <notifier@instance.example>",
    )
    return Installation(settings=settings, keys=keys)


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    """A relay that accepts every mail unless it is scripted otherwise."""
    started = await ScriptedRelay().start()
    yield started
    await started.stop()


@pytest.fixture(params=ENGINES)
def installation(request: pytest.FixtureRequest, tmp_path: Path, relay: ScriptedRelay) -> Installation:
    """A seeded installation whose relay is `relay`; the test runs once on each engine."""
    url, keys = request.getfixturevalue("sqlite_database" if request.param == "sqlite" else "postgres_database")
    return _installation(url, keys, tmp_path, relay.port)


@pytest.fixture
def sqlite_installation(sqlite_database: tuple[str, Keys], tmp_path: Path, relay: ScriptedRelay) -> Installation:
    """A seeded installation on SQLite only."""
    return _installation(*sqlite_database, tmp_path, relay.port)


@pytest.fixture
def postgres_installation(postgres_database: tuple[str, Keys], tmp_path: Path, relay: ScriptedRelay) -> Installation:
    """A seeded installation on PostgreSQL only."""
    return _installation(*postgres_database, tmp_path, relay.port)


@pytest.fixture
async def parts(installation: Installation) -> AsyncIterator[wiring.ProcessParts]:
    """The parts of one process of the installation."""
    async with installation.open_parts() as base:
        yield base
