"""The producer outbox: a mail is written into the caller's own database, in the caller's own transaction.

If that rolls back, there is no mail. If it commits, there is exactly one notification at Notifier's API, whichever
process dies in between. It needs `notifier-outbox[producer]`, which brings SQLAlchemy.
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
from notifier.client.producer.row_store import (
    Backlog,
    RefusedRow,
    count_backlog,
    define_table,
    list_refused,
    metadata,
    retry_refused,
)

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
