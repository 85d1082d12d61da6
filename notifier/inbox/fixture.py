"""The `inbox` fixture for the tests of a service that sends mail.

Import it where your tests can see it: `from notifier.inbox.fixture import inbox`.
This is the only module of the inbox that needs pytest.
"""

from collections.abc import Iterator

import pytest

from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.message_search import MailNotReceived
from notifier.inbox.received_message import ReceivedMessage

__all__ = ["BackgroundInbox", "MailNotReceived", "ReceivedMessage", "inbox"]


@pytest.fixture
def inbox() -> Iterator[BackgroundInbox]:
    """An empty inbox on free ports, which is closed after the test."""
    with BackgroundInbox() as running:
        yield running
