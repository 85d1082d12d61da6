"""Celery tasks that submit mail, for any Celery application: `send.delay(to=…, template=…)`.

The id of a task is its idempotency key, so a task that runs several times makes one notification. The state of a mail
is asked of Notifier, never of a result backend.
"""

import os
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn, Unpack

from celery import Task, shared_task, states
from celery.exceptions import Reject

from notifier.client.blocking import Notifier
from notifier.client.errors import ApiError, ConnectionFailedError, NotifierClientError, RateLimitedError, ServerError
from notifier.client.notification_reply import Status, SubmittedBatch
from notifier.client.request_fields import BatchItem, Defaults, Mail
from notifier.client.retry_policy import RetryPolicy

MAX_COUNTDOWN = 300.0
"""Seconds before a retry. Longer ones would come near the visibility timeout of a broker."""
MAX_RETRIES = 1_500
"""They take less than six days. Notifier stores an idempotency key for at least seven."""
UNCERTAIN = "UNCERTAIN"
"""The state of a mail that a relay may or may not have."""
_IN_PROGRESS = "idempotency_in_progress"
_TEMPORARY_CODES = frozenset({_IN_PROGRESS, "request_timeout"})
_TASK_OPTIONS = {"bind": True, "acks_late": True, "reject_on_worker_lost": True, "max_retries": MAX_RETRIES}
STATES: Mapping[str, str] = {
    Status.SCHEDULED: states.PENDING,
    Status.QUEUED: states.PENDING,
    Status.DEFERRED: states.RETRY,
    Status.SENT: states.SUCCESS,
    Status.DELIVERED: states.SUCCESS,
    Status.BOUNCED: states.FAILURE,
    Status.COMPLAINED: states.FAILURE,
    Status.FAILED: states.FAILURE,
    Status.EXPIRED: states.FAILURE,
    Status.SUPPRESSED: states.FAILURE,
    Status.CANCELLED: states.REVOKED,
    Status.UNKNOWN: UNCERTAIN,
}
"""The state of a task for each status of its notification."""


@shared_task(name="notifier.send", **_TASK_OPTIONS)
def send(self: Task, **mail: Unpack[Mail]) -> str:
    """Submit a notification; the result is its id."""
    try:
        return _open_client(os.getpid(), tries=1).send(idempotency_key=self.request.id, **mail).id
    except NotifierClientError as error:
        _retry_or_fail(self, error)


@shared_task(name="notifier.send_many", **_TASK_OPTIONS)
def send_many(self: Task, notifications: Sequence[BatchItem], *, defaults: Defaults | None = None) -> list[str]:
    """Submit a batch, all or none; the result is the list of ids in the same order."""
    client, key = _open_client(os.getpid(), tries=1), self.request.id
    try:
        batch = client.send_batch(notifications, defaults=defaults, idempotency_key=key)
    except NotifierClientError as error:
        _retry_or_fail(self, error)
    if batch.refused:
        _handle_refused(self, batch)
    return [result.id for result in batch.accepted]


def status(task_id: str) -> str:
    """Return the state of the mail of a task: a state of Celery, or `UNCERTAIN`.

    The id of a mail of `send_many` is `<task id>#<index>`. Raises `LookupError` if Notifier has no such mail, and the
    client's errors.
    """
    page = _open_client(os.getpid(), tries=5).page(idempotency_key=task_id, limit=1)
    if not page.items:
        raise LookupError(
            f"Notifier has no mail of the task {task_id}: no worker has submitted it yet, the task failed, "
            "or the id is wrong"
        )
    # A newer server may have a status that this client does not know.
    return STATES.get(page.items[0].status, UNCERTAIN)


@lru_cache(maxsize=2)
def _open_client(_process: int, *, tries: int) -> Notifier:
    """Open a client once in each process, because forked processes must not share connections."""
    return Notifier(retries=RetryPolicy(tries=tries))


def _retry_or_fail(task: Any, error: NotifierClientError) -> NoReturn:
    """End this run of a task: Celery runs it again later if the error is temporary."""
    # With one text as its argument, an error has the same message after pickle or JSON.
    reason = NotifierClientError(str(error))
    if not _is_temporary(error):
        raise reason from error
    retry_after = error.retry_after if isinstance(error, ApiError) else None
    _retry(task, reason, retry_after)


def _handle_refused(task: Any, batch: SubmittedBatch) -> NoReturn:
    """End a run whose batch has refused results: only other requests with the same keys cause them."""
    codes = {result.error.code for result in batch.refused}
    reason = NotifierClientError(f"{len(batch.refused)} of the batch were refused: {', '.join(sorted(codes))}")
    if codes != {_IN_PROGRESS}:
        raise reason
    _retry(task, reason, None)


def _retry(task: Any, reason: NotifierClientError, retry_after: float | None) -> NoReturn:
    """Publish the next run, or raise the reason if there were too many."""
    try:
        raise task.retry(exc=reason, countdown=compute_countdown(task.request.retries, retry_after))
    except Reject as error:
        # Celery could not publish the next run. It would drop this message, too, and nobody would have the mail.
        raise Reject(error.reason, requeue=True) from error


def _is_temporary(error: NotifierClientError) -> bool:
    if isinstance(error, ConnectionFailedError | RateLimitedError | ServerError):
        return True
    return isinstance(error, ApiError) and error.code in _TEMPORARY_CODES


def compute_countdown(retries: int, retry_after: float | None) -> float:
    """Compute the seconds before the next run: the back-off, or longer if the server asks for it.

    It is never less than a second: for a quorum queue Celery uses whole seconds, and raises an error for none.
    """
    backoff = min(2.0 ** min(retries + 1, 10), MAX_COUNTDOWN) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
    return min(max(backoff, retry_after or 0.0), MAX_COUNTDOWN)
