"""The `inbox` fixture for the tests of a service that sends mail.

pytest finds it wherever Notifier is installed, without an import: pyproject.toml names this module as its plugin.
Until a test asks for the fixture, it loads nothing of the service.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from notifier.inbox.inbox_server import BackgroundInbox


@pytest.fixture
def inbox() -> Iterator["BackgroundInbox"]:
    """An empty inbox on free ports, which is closed after the test."""
    try:
        inbox_server = import_module("notifier.inbox.inbox_server")
    except ModuleNotFoundError as error:
        pytest.fail(f"the fixture inbox needs {error.name}: run pip install 'notifier-outbox[server]'", pytrace=False)
    with inbox_server.BackgroundInbox() as running:
        yield running
