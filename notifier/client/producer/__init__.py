"""The caller's half of the outbox: a mail is written into the caller's own database, in the caller's own transaction.

If that rolls back, there is no mail; if it commits, there is exactly one notification at Notifier's API, whoever dies
in between. It needs SQLAlchemy and httpx2, and nothing of the service.
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
