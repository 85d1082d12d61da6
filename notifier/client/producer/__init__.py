"""The caller's half of the outbox: a mail is written into the caller's own database, in the caller's own transaction.

If that rolls back, there is no mail; if it commits, there is exactly one notification at Notifier's API, whoever dies
in between. It needs SQLAlchemy and httpx2, and nothing of the service.
"""

from notifier.client.errors import UnsendableError
from notifier.client.producer.enqueue import enqueue, enqueue_async
from notifier.client.producer.forwarder import (
    Forwarded,
    Forwarder,
    ForwarderLimits,
    ForwardResult,
    UnsupportedDatabaseError,
)
from notifier.client.producer.row_store import Backlog, RefusedRow, count_backlog, list_refused, retry_refused
from notifier.client.producer.row_table import define_table, metadata

__all__ = [
    "Backlog",
    "ForwardResult",
    "Forwarded",
    "Forwarder",
    "ForwarderLimits",
    "RefusedRow",
    "UnsendableError",
    "UnsupportedDatabaseError",
    "count_backlog",
    "define_table",
    "enqueue",
    "enqueue_async",
    "list_refused",
    "metadata",
    "retry_refused",
]
