"""Accept many notifications in one request: validated in slices, written in chunks, so that other requests go on.

Each has its own answer and its own idempotency key. After a database error in the middle, a repeated request with the
same keys writes the rest.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth.authenticated_key import Caller
from notifier.clock import Clock
from notifier.db.database_errors import convert_database_errors
from notifier.db.dialect import build_insert
from notifier.db.engine import Database
from notifier.db.tables import Batch, get_columns
from notifier.errors import (
    Fault,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    LockTimeoutError,
    NotifierError,
)
from notifier.ids import generate_id
from notifier.submission.new_notification import Idempotency, NewNotification, NotificationRequest, ServiceKey
from notifier.submission.notification_submitter import NotificationSubmitter, scope_idempotency, scope_key
from notifier.submission.notification_writer import (
    EarlierNotification,
    IdempotencyError,
    SubmissionResult,
    find_earlier_notifications,
)
from notifier.throttle.queue_forecast import QueueTooLongError

SLICE_SECONDS = 0.002  # of work before other requests get a turn
LOOP_TURNS = 4
"""Turns of the event loop between slices: about as many as a single request takes from first byte to commit."""
MAX_BEGIN_SECONDS = 2.5  # longest transaction; the driver takes two more to give up a server that hangs
MAX_CHUNK_MAILS = 100
"""Mails, with copies, that are written at once: so few that other requests are written in between."""
_batch = get_columns(Batch)
ItemT = TypeVar("ItemT")
ItemResult = SubmissionResult | list[Fault]
"""The answer for one notification; the pointers of its faults begin at the notification."""
CheckedItem = ItemResult | NewNotification | QueueTooLongError
"""The state of one notification before anything is written."""


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """A batch as a caller requests it."""

    items: Iterable["BatchItem"]  # perhaps a generator that parses
    key: str | None  # idempotency key of the whole batch: a repeated request continues the same batch
    reject_all: bool


@dataclass(frozen=True, kw_only=True)
class BatchItem:
    """One notification of a batch, with the faults that parsing found."""

    request: NotificationRequest
    faults: list[Fault]
    idempotency: Idempotency | None


class BatchRejectedError(NotifierError):
    """A notification of the batch has faults, so none was written."""

    def __init__(self, faults: dict[int, list[Fault]]) -> None:
        self.faults = faults  # by index
        super().__init__()


class BatchSubmitter:
    """Accepts batches."""

    def __init__(
        self,
        database: Database,
        submitter: NotificationSubmitter,
        clock: Clock,
        write_all: Callable[
            [Sequence[NewNotification]], Awaitable[Sequence[SubmissionResult | IdempotencyError | BaseException]]
        ],
    ) -> None:
        self._database = database
        self._submitter = submitter
        self._clock = clock
        self._write_all = write_all  # commits before it returns
        self._chunk_lock = asyncio.Lock()  # one chunk at a time, so that single requests are written beside it

    async def submit(self, caller: Caller, batch: BatchRequest) -> tuple[UUID, list[ItemResult]]:
        """Submit the batch; return its id and one answer for each item, in order.

        With `reject_all`, one fault raises `BatchRejectedError` or `QueueTooLongError`, and nothing is written. Raises
        `DatabaseUnavailableError`: some chunks may have been written and others not.
        """
        items = [
            replace(item, idempotency=scope_idempotency(caller, item.idempotency))
            async for item in iterate_in_slices(batch.items)
        ]
        batch_id = _build_batch_id(caller, batch.key, items) if batch.key is not None else generate_id()
        earlier = await self._find_earlier(caller, items)
        checked_items: list[CheckedItem] = []
        ahead = 0  # mails of the items before it
        async for item in iterate_in_slices(items):
            checked_items.append(await self._check_item(caller, item, earlier, batch_id, ahead))
            ahead += checked_items[-1].mail_count if isinstance(checked_items[-1], NewNotification) else 0
        for index in _find_reused_keys(items):
            checked_items[index] = _build_item_result(IdempotencyKeyReusedError())
        if batch.reject_all:
            _raise_if_rejected(checked_items)
        answers = [
            _build_item_result(result) if isinstance(result, QueueTooLongError) else result for result in checked_items
        ]
        notifications = [result for result in answers if isinstance(result, NewNotification)]
        if not notifications and (
            common_batch := _find_common_batch([result for result in answers if isinstance(result, SubmissionResult)])
        ):
            batch_id = common_batch
        else:
            await self._write_batch_row(caller, batch_id, size=len(items))
        written = await self._write_chunks(notifications)
        self._submitter.record_template_use(caller, notifications)
        return batch_id, [next(written) if isinstance(result, NewNotification) else result for result in answers]

    async def _write_batch_row(self, caller: Caller, batch_id: UUID, *, size: int) -> None:
        row = {
            "id": batch_id,
            "service_id": caller.service_id,
            "created_by": caller.actor_name,
            "created_at": self._clock.now(),
            "size": size,
        }
        with convert_database_errors():
            async with asyncio.timeout(MAX_BEGIN_SECONDS), self._database.write() as connection:
                await self._insert_batch(connection, row)

    async def _insert_batch(self, connection: AsyncConnection, row: dict[str, Any]) -> None:
        """Write the batch. One whose key has expired begins again, so that the purge does not take it for old."""
        statement = build_insert(connection, Batch).values(row)
        again = statement.on_conflict_do_update(
            index_elements=[_batch.id],
            set_={"created_at": statement.excluded.created_at},
            where=_batch.created_at <= row["created_at"] - self._submitter.key_lifetime,
        )
        await connection.execute(again)

    async def _find_earlier(self, caller: Caller, items: Sequence[BatchItem]) -> dict[ServiceKey, EarlierNotification]:
        keys = {item.idempotency.key for item in items if item.idempotency}
        if not keys:
            return {}
        async with self._database.read() as connection:
            earlier = await find_earlier_notifications(connection, caller.service_id, keys)
        return {key: previous for key, previous in earlier.items() if not self._submitter.is_outdated(previous)}

    async def _check_item(
        self,
        caller: Caller,
        item: BatchItem,
        earlier: dict[ServiceKey, EarlierNotification],
        batch_id: UUID,
        ahead: int,
    ) -> CheckedItem:
        if item.idempotency and (previous := earlier.get((caller.service_id, item.idempotency.key))):
            return _build_item_result(previous.replayed(item.idempotency.request_hash))
        try:
            notification = await self._submitter.prepare(
                caller, item.request, item.idempotency, item.faults, batch_id=batch_id
            )
            self._submitter.check_queue_time(notification, ahead=ahead)
        except InvalidRequestError as error:
            return list(error.faults)
        except QueueTooLongError as error:
            return error
        return notification

    async def _write_chunks(self, notifications: Sequence[NewNotification]) -> Iterator[ItemResult]:
        answers: list[ItemResult] = []
        for chunk in _split_into_chunks(notifications):
            async with self._chunk_lock:
                results = await self._write_all(chunk)
            answers += [
                _build_item_result(result, notification) for result, notification in zip(results, chunk, strict=True)
            ]
        return iter(answers)


def _build_batch_id(caller: Caller, key: str, items: Sequence[BatchItem]) -> UUID:
    """The same id for the same notifications, and another one for others, so that a batch never grows."""
    own_key = scope_key(caller, key)
    return uuid5(caller.service_id, "\n".join([own_key, *(item.idempotency.key for item in items if item.idempotency)]))


def _split_into_chunks(notifications: Sequence[NewNotification]) -> Iterator[list[NewNotification]]:
    """Split the notifications, in their order; a chunk has at least one, and else at most `MAX_CHUNK_MAILS` mails."""
    chunk: list[NewNotification] = []
    mails = 0
    for notification in notifications:
        if chunk and mails + notification.mail_count > MAX_CHUNK_MAILS:
            yield chunk
            chunk, mails = [], 0
        chunk.append(notification)
        mails += notification.mail_count
    if chunk:
        yield chunk


def _raise_if_rejected(checked_items: Sequence[CheckedItem]) -> None:
    """Raise the error that rejects the whole batch: faults first, because they stay in a later try."""
    if faulty := {index: item for index, item in enumerate(checked_items) if isinstance(item, list)}:
        raise BatchRejectedError(faulty)
    if late := [item for item in checked_items if isinstance(item, QueueTooLongError)]:
        raise max(late, key=lambda item: item.retry_after)


def _find_common_batch(replayed: Sequence[SubmissionResult]) -> UUID | None:
    """The batch of all these, if it is the same one."""
    batches = {item.batch_id for item in replayed}
    return batches.pop() if len(batches) == 1 else None


def _find_reused_keys(items: Sequence[BatchItem]) -> set[int]:
    """The indexes of items whose key an earlier, different item of the batch has."""
    seen: dict[str, bytes] = {}
    return {
        index
        for index, item in enumerate(items)
        if item.idempotency
        and seen.setdefault(item.idempotency.key, item.idempotency.request_hash) != item.idempotency.request_hash
    }


def _build_item_result(
    result: SubmissionResult | BaseException, notification: NewNotification | None = None
) -> ItemResult:
    """Turn the result of a write into an answer. Raise it if it concerns more than this notification."""
    if isinstance(result, LockTimeoutError) and notification is not None and notification.key is not None:
        result = IdempotencyInProgressError()
    match result:
        case SubmissionResult():
            return result
        case IdempotencyKeyReusedError():
            return [Fault("", "idempotency_key_reused", str(result))]
        case IdempotencyInProgressError():
            return [Fault("", "idempotency_in_progress", str(result))]
        case QueueTooLongError():
            return [Fault("", "queue_too_long", str(result))]
        case _:
            raise result


async def iterate_in_slices(elements: Iterable[ItemT]) -> AsyncIterator[ItemT]:
    """Iterate, and let other tasks of the event loop run after each slice of work."""
    until = time.perf_counter() + SLICE_SECONDS
    for element in elements:
        yield element
        if time.perf_counter() > until:
            for _ in range(LOOP_TURNS):
                await asyncio.sleep(0)
            until = time.perf_counter() + SLICE_SECONDS
