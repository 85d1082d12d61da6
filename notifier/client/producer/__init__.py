"""The producer outbox: a mail is written into the caller's own database, in the caller's own transaction.

If that rolls back, there is no mail. If it commits, there is exactly one notification at Notifier's API, whichever
process dies in between. It needs `notifier[producer]`, which brings SQLAlchemy.
"""

from notifier.client.errors import UnsendableError
from notifier.client.producer.enqueue import enqueue, enqueue_async
from notifier.client.producer.forwarder import Forwarded, Forwarder, Limits, Turn, UnsupportedDatabaseError
from notifier.client.producer.store import Backlog, Refused, backlog, refused, release
from notifier.client.producer.table import metadata, table

__all__ = [
    "Backlog",
    "Forwarded",
    "Forwarder",
    "Limits",
    "Refused",
    "Turn",
    "UnsendableError",
    "UnsupportedDatabaseError",
    "backlog",
    "enqueue",
    "enqueue_async",
    "metadata",
    "refused",
    "release",
    "table",
]
