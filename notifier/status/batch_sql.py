"""What other statements say about batches."""

from notifier.states import CANCELLABLE_STATUSES

CANCELLABLE_SQL = f"""n.status IN ('{"', '".join(sorted(CANCELLABLE_STATUSES))}')"""
"""A mail that can still be kept from leaving, on `n`."""
CANCELLABLE_OF_BATCH = (
    f"SELECT 1 FROM notification AS n WHERE n.id = e.subject_id AND n.batch_id = :batch AND {CANCELLABLE_SQL}"
)
"""A query that finds something if the outbox entry `e` is about such a mail of the batch."""
# A scalar, because of an EXISTS PostgreSQL may make a table of all cancelled batches.
IS_CANCELLED = "((SELECT g.cancelled_at FROM batch AS g WHERE g.id = n.batch_id) IS NOT NULL)"
"""Whether the batch of the notification `n`, if it has one, was cancelled."""
