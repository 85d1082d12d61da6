"""One program and one browser for each module."""

from collections.abc import Iterator

import pytest
from support import console_browser, console_rig
from support.console_browser import ConsoleBrowser
from support.console_rig import ConsoleRig
from support.seeded_installation import Installation, SqliteSeed

from notifier.settings import RecipientsMode, RecipientsSettings, Settings


@pytest.fixture(scope="module")
def rig(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleRig]:
    """The program with its console, on SQLite."""
    folder = tmp_path_factory.mktemp("console")
    settings = Settings(
        database_url=sqlite_seed.copy(folder), data_dir=folder, recipients=RecipientsSettings(mode=RecipientsMode.LIVE)
    )
    with console_rig.start_console(Installation(settings=settings, keys=sqlite_seed.keys), folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser(rig: ConsoleRig) -> Iterator[ConsoleBrowser]:
    """A browser of the module."""
    with console_browser.start_browser(rig.url) as started:
        yield started
