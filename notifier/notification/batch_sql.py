"""SQL conditions about batches, for other statements."""

from notifier.states import CANCELLABLE

CANCELLABLE_SQL = f"""n.status IN ('{"', '".join(sorted(CANCELLABLE))}')"""
"""The notification `n` can still be cancelled."""
WAITING = f"SELECT 1 FROM notification AS n WHERE n.id = e.subject_id AND n.batch_id = :batch AND {CANCELLABLE_SQL}"  # noqa: S608 - ours
"""A query with a row if the outbox entry `e` is about such a notification of the batch."""
# A scalar subquery, because PostgreSQL may turn an EXISTS into a scan of all cancelled batches.
IS_CANCELLED = "((SELECT g.cancelled_at FROM batch AS g WHERE g.id = n.batch_id) IS NOT NULL)"
"""The batch of the notification `n`, if it has one, was cancelled."""
