"""The handler of webhook entries: it makes one delivery of an event for each endpoint, and attempts deliveries.

Delivery is at least once: if a process is killed between the reply and the record, the event is sent again with the
same `webhook-id`. No mark is set, because a second delivery does no harm.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from notifier.backoff import MAX_RETRY_AFTER, add_jitter
from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.tables.webhook import DeliveryState
from notifier.ids import generate_id
from notifier.outbox.entry_handler import (
    ClaimedEntry,
    FinishEntry,
    JournalNote,
    LostClaim,
    ReleaseEntry,
    RescheduleEntry,
    Settlement,
    WorkerContext,
)
from notifier.settings import WebhooksSettings
from notifier.states import EntryKind
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.webhooks import delivery_store, endpoint_secret, webhook_event
from notifier.webhooks.delivery_store import (
    EndpointSubscription,
    PendingDelivery,
    WebhookAttemptRecord,
    WebhookEventRecord,
)
from notifier.webhooks.endpoint_client import CallResult, EndpointClient, EndpointConcurrency
from notifier.webhooks.endpoint_secret import SecretBox, UnreadableSecretError

LEASE = timedelta(minutes=5)
FAULT_WAIT = timedelta(minutes=1)
LEASE_MARGIN = 30.0
"""Seconds of the lease that are reserved for recording the result of an attempt."""
LOST_DETAIL = "the sender process died during this attempt"
UNRECORDED_DETAIL = "the result of this attempt could not be recorded"
WEBHOOK_WAITS = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)  # 5 s, 5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours: three days in all
MAX_TRIES = len(WEBHOOK_WAITS) + 1


@dataclass(frozen=True, kw_only=True)
class _BatchContents:
    """What was loaded for a claimed batch, by id."""

    events: dict[Any, webhook_event.EventDetails]
    listeners: dict[Any, list[EndpointSubscription]]
    deliveries: dict[Any, PendingDelivery]


class WebhookHandler:
    """The handler of webhook entries."""

    kind = EntryKind.WEBHOOK
    bodies = 1
    lease = LEASE
    still_wanted = "1 = 1"

    def __init__(
        self, database: Database, client: EndpointClient, box: SecretBox, *, settings: WebhooksSettings, clock: Clock
    ) -> None:
        self.slots = settings.concurrency
        self._database = database
        self._client = client
        self._box = box  # decrypts the secrets of endpoints
        self._unreadable: set[Any] = set()  # endpoints for which an unreadable secret was logged
        self._calling = asyncio.Semaphore(settings.concurrency)
        self._concurrency = EndpointConcurrency(settings.concurrency, clock)
        self._max_attempt_seconds = settings.timeout + LEASE_MARGIN
        self._patience = timedelta(days=settings.disable_after_days)
        self._clock = clock
        self._closing = False
        self._log = get_logger()

    def get_capacity(self) -> int:
        """Return no limit besides the slots, because a failing endpoint does not affect others."""
        return 1_000_000

    async def process(self, batch: Sequence[ClaimedEntry], context: WorkerContext) -> None:
        """Turn events into deliveries, and attempt deliveries. Each entry is settled as soon as its result is known."""
        contents = await self._load(batch)
        attempts = []
        for entry in batch:
            if entry.subject_id == entry.id:  # the entry of an event, see `status_writer.build_event_entry_insert`
                context.settle(self._settle_event(entry, contents))
            elif (pending := contents.deliveries.get(entry.subject_id)) is None:
                context.settle(Settlement(entry=entry, action=FinishEntry()))
            else:
                attempts.append(self._attempt(entry, pending, context))
        for outcome in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write deliveries, attempts and final states."""
        records = [
            item.record for item in settled if isinstance(item.record, WebhookEventRecord | WebhookAttemptRecord)
        ]
        await delivery_store.write_records(connection, records, patience=self._patience)

    async def recover_lost(self, connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Count an attempt that was lost too often, or cannot be recorded, as failed. No entry is given up."""
        deliveries = await delivery_store.load_deliveries(connection, {loss.entry.subject_id for loss in lost})
        settlements = []
        for loss in lost:
            entry, pending = loss.entry, deliveries.get(loss.entry.subject_id)
            if entry.subject_id == entry.id:
                settlements.append(_put_off(entry, FAULT_WAIT))
            elif pending is None:
                settlements.append(Settlement(entry=entry, action=FinishEntry()))
            else:
                detail = UNRECORDED_DETAIL if loss.unwritable else LOST_DETAIL
                settlements.append(self._settle_result(entry, pending, _build_failure(detail)))
        return settlements

    async def replay(
        self, _connection: StatementConnection, _notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Replay nothing: these entries write no journal, and what was not recorded is sent again."""
        return []

    def close(self) -> None:
        """Start no new attempts; those that have not started are released."""
        self._closing = True

    async def _load(self, batch: Sequence[ClaimedEntry]) -> _BatchContents:
        subjects = {entry.subject_id for entry in batch if entry.subject_id == entry.id}
        others = {entry.subject_id for entry in batch} - subjects
        async with self._database.read() as connection:
            events = await webhook_event.load_events(connection, subjects) if subjects else {}
            services = {event.service_id for event in events.values()}
            listeners = await delivery_store.load_subscriptions(connection, services) if services else {}
            deliveries = await delivery_store.load_deliveries(connection, others) if others else {}
        return _BatchContents(events=events, listeners=listeners, deliveries=deliveries)

    def _settle_event(self, entry: ClaimedEntry, contents: _BatchContents) -> Settlement:
        try:
            return self._fan_out(entry, contents)
        except Exception as error:  # noqa: BLE001 - any fault stays with this event
            self._log.exception("event_not_told", entry_id=str(entry.id), error=type(error).__name__)
            return _put_off(entry, FAULT_WAIT)

    def _fan_out(self, entry: ClaimedEntry, contents: _BatchContents) -> Settlement:
        """Make one delivery for each subscribed endpoint. The body is built only here."""
        event = contents.events.get(entry.subject_id)
        if event is None:  # the notification was deleted meanwhile
            return Settlement(entry=entry, action=FinishEntry())
        listeners = [item for item in contents.listeners.get(event.service_id, []) if item.wants(event.type)]
        text = webhook_event.build_notification_body(event) if listeners else ""
        fields = {"event_id": event.event_id, "service_id": event.service_id, "type": event.type, "body": text}
        now = self._clock.now()
        rows = [build_delivery_row(fields | {"endpoint_id": listener.id}, now) for listener in listeners]
        record = WebhookEventRecord(event_id=event.event_id, deliveries=rows)
        return Settlement(entry=entry, action=FinishEntry(), record=record)

    async def _attempt(self, entry: ClaimedEntry, pending: PendingDelivery, context: WorkerContext) -> None:
        """Attempt a delivery and settle it, whatever is raised."""
        try:
            settlement = await self._call_if_due(entry, pending)
        except Exception as error:  # noqa: BLE001 - any fault stays with this delivery
            self._log.exception("webhook_failed", delivery_id=str(pending.id), error=type(error).__name__)
            failure = _build_failure(f"our own code failed: {type(error).__name__}")
            settlement = self._settle_result(entry, pending, failure)
        context.settle(settlement)

    async def _call_if_due(self, entry: ClaimedEntry, pending: PendingDelivery) -> Settlement:
        """Call the endpoint, unless the delivery has ended, its secret cannot be read or no slot is free."""
        if (settlement := self._settle_ended(entry, pending)) is not None:
            return settlement
        try:
            keys = [self._box.open(secret) for secret in pending.secrets(self._clock.now())]
        except UnreadableSecretError as error:  # a mistake of this installation: the delivery was not attempted
            if pending.endpoint_id not in self._unreadable:
                self._unreadable.add(pending.endpoint_id)
                self._log.error("webhook_secret_unreadable", endpoint_id=str(pending.endpoint_id), reason=str(error))
            return _put_off(entry, FAULT_WAIT)
        self._unreadable.discard(pending.endpoint_id)
        if (wait := self._concurrency.enter(pending.endpoint_id)) is not None:
            return _put_off(entry, wait)
        result = _build_failure("")
        try:
            async with self._calling:
                if self._closing or entry.lease_ends - self._clock.monotonic() < self._max_attempt_seconds:
                    return Settlement(entry=entry, action=ReleaseEntry())
                result = await self._call(pending, keys)
        finally:
            self._concurrency.leave(pending.endpoint_id, seconds=result.seconds, is_healthy=result.is_success)
        return self._settle_result(entry, pending, result)

    def _settle_ended(self, entry: ClaimedEntry, pending: PendingDelivery) -> Settlement | None:
        """Settle a delivery that has ended, or whose endpoint is disabled or deleted; None for any other."""
        if pending.state is not DeliveryState.PENDING:
            return Settlement(entry=entry, action=FinishEntry())
        if pending.url is None or pending.disabled_because is not None:
            record = WebhookAttemptRecord(
                delivery_id=pending.id,
                endpoint_id=pending.endpoint_id,
                at=self._clock.now(),
                end=DeliveryState.FAILED,
            )
            return Settlement(entry=entry, action=FinishEntry(), record=record)
        return None

    async def _call(self, pending: PendingDelivery, keys: Sequence[str]) -> CallResult:
        fields = endpoint_secret.build_signature_headers(str(pending.event_id), self._clock.now(), pending.body, keys)
        result = await self._client.post(pending.url or "", fields, pending.body.encode())
        outcome = "delivered" if result.is_success else "failed"
        metrics.WEBHOOKS.labels(outcome).inc()
        metrics.WEBHOOK_SECONDS.observe(result.seconds)
        if not result.is_success:
            self._log.info(
                "webhook_refused",
                delivery_id=str(pending.id),
                endpoint_id=str(pending.endpoint_id),
                outcome=str(result.code or "no reply"),
                duration_ms=round(result.seconds * 1000),
            )
        return result

    def _settle_result(self, entry: ClaimedEntry, pending: PendingDelivery, result: CallResult) -> Settlement:
        number, now = entry.attempts + 1, self._clock.now()
        retry_after = None if result.retry_after is None else timedelta(seconds=result.retry_after)
        spread = random.random()  # noqa: S311 - jitter
        is_over = result.is_success or result.is_gone
        wait = None if is_over else compute_webhook_wait(number, spread=spread, retry_after=retry_after)
        end = DeliveryState.DELIVERED if result.is_success else DeliveryState.FAILED
        record = WebhookAttemptRecord(
            delivery_id=pending.id,
            endpoint_id=pending.endpoint_id,
            at=now,
            attempt={
                "id": generate_id(),
                "delivery_id": pending.id,
                "number": number,
                "at": now - timedelta(seconds=result.seconds),
                "duration_ms": round(result.seconds * 1000),
                "code": result.code,
                "detail": result.detail,
            },
            end=end if wait is None else None,
            went_well=result.is_success,
            gone="the endpoint replied 410 Gone" if result.is_gone else None,
        )
        action = FinishEntry() if wait is None else RescheduleEntry(delay=wait, attempts=number)
        return Settlement(entry=entry, action=action, record=record)


def _build_failure(detail: str) -> CallResult:
    """The result of an attempt in which the endpoint was not called."""
    return CallResult(code=None, detail=detail, seconds=0.0)


def _put_off(entry: ClaimedEntry, delay: timedelta) -> Settlement:
    """Try again later, without counting an attempt."""
    return Settlement(entry=entry, action=RescheduleEntry(delay=delay, attempts=entry.attempts))


def build_delivery_row(fields: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    """Build the row of a new delivery that is due now, with the id of its outbox entry.

    `fields`: event_id, endpoint_id, service_id, type and body.
    """
    return {"id": generate_id(), "entry_id": generate_id(), **fields, "at": at}


def compute_webhook_wait(tries: int, *, spread: float, retry_after: timedelta | None = None) -> timedelta | None:
    """Return the wait of a webhook after this many attempts; None after the last. `retry_after`: from the reply."""
    if tries >= MAX_TRIES:
        return None
    own = add_jitter(WEBHOOK_WAITS[tries - 1], spread)
    return max(own, min(retry_after or own, MAX_RETRY_AFTER))
