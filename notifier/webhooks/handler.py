"""Telling: an event becomes one delivery for each endpoint that wants it, and each delivery is tried until it is heard.

The handler of webhook entries. At least once: a process that is killed after the reply and before the record tells
again, under the same `webhook-id`. It never marks: nothing here is worse for being done twice.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.tables.webhook import DeliveryState
from notifier.ids import generate_id
from notifier.outbox.handler import (
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
from notifier.webhooks import delivery_reader, delivery_writer, event_body, signing
from notifier.webhooks.concurrency import EndpointConcurrency
from notifier.webhooks.delivery_reader import EndpointSubscription, PendingDelivery
from notifier.webhooks.endpoint_client import CallResult, EndpointClient
from notifier.webhooks.retry_schedule import compute_retry_wait
from notifier.webhooks.secret_box import SecretBox, UnreadableSecretError

LEASE = timedelta(minutes=5)
FAULT_WAIT = timedelta(minutes=1)
LEASE_MARGIN = 30.0
"""Seconds of the lease that are kept for writing down how a try ended."""
LOST_DETAIL = "the sender died at this try"
UNRECORDED_DETAIL = "how this try ended could not be written down"


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What a claimed batch is about."""

    events: dict[Any, event_body.EventDetails]
    listeners: dict[Any, list[EndpointSubscription]]
    deliveries: dict[Any, PendingDelivery]


class WebhookHandler:
    """The handler of webhook entries."""

    kind = EntryKind.WEBHOOK
    bodies = 1
    lease = LEASE
    still_wanted = "1 = 1"

    def __init__(
        self, database: Database, caller: EndpointClient, box: SecretBox, *, settings: WebhooksSettings, clock: Clock
    ) -> None:
        self.slots = settings.concurrency
        self._database = database
        self._caller = caller
        self._box = box  # in which the secrets of endpoints are kept
        self._unreadable: set[Any] = set()  # endpoints of whose secret that was said
        self._calling = asyncio.Semaphore(settings.concurrency)
        self._lanes = EndpointConcurrency(settings.concurrency, clock)
        self._longest = settings.timeout + LEASE_MARGIN
        self._patience = timedelta(days=settings.disable_after_days)
        self._clock = clock
        self._closing = False
        self._log = get_logger()

    # -- what the worker asks ---------------------------------------------------------------------

    def get_capacity(self) -> int:
        """As much as there are slots: endpoints fail each for itself."""
        return 1_000_000

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        """Turn events into deliveries, and try deliveries; each is settled when its own fate is known."""
        work = await self._load(batch)
        tries = []
        for entry in batch:
            if entry.subject_id == entry.id:  # as `publish` makes them
                desk.settle(self._told(entry, work))
            elif (pending := work.deliveries.get(entry.subject_id)) is None:
                desk.settle(Settlement(entry=entry, action=FinishEntry()))
            else:
                tries.append(self._tell(entry, pending, desk))
        ends = await asyncio.gather(*tries, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write deliveries, tries and ends."""
        records = [
            one.record
            for one in settled
            if isinstance(one.record, delivery_writer.WebhookEventRecord | delivery_writer.WebhookAttemptRecord)
        ]
        await delivery_writer.write_records(connection, records, patience=self._patience)

    async def recover_lost(self, connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """A try that was lost too often, or cannot be recorded, counts as one that failed; none is given up."""
        found = await delivery_reader.load_deliveries(connection, {one.entry.subject_id for one in lost})
        settlements = []
        for one in lost:
            entry, pending = one.entry, found.get(one.entry.subject_id)
            if entry.subject_id == entry.id:
                again = RescheduleEntry(delay=FAULT_WAIT, attempts=entry.attempts)
                settlements.append(Settlement(entry=entry, action=again))
            elif pending is None:
                settlements.append(Settlement(entry=entry, action=FinishEntry()))
            else:
                detail = UNRECORDED_DETAIL if one.unwritable else LOST_DETAIL
                settlements.append(self._after(entry, pending, CallResult(code=None, detail=detail, seconds=0.0)))
        return settlements

    async def replay(
        self, _connection: StatementConnection, _notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Nothing is ever noted: what is not recorded is told again."""
        return []

    def close(self) -> None:
        """Begin no new tries: what has not started is given back."""
        self._closing = True

    # -- the steps, in order ----------------------------------------------------------------------

    async def _load(self, batch: Sequence[ClaimedEntry]) -> _Work:
        subjects = {entry.subject_id for entry in batch if entry.subject_id == entry.id}
        others = {entry.subject_id for entry in batch} - subjects
        async with self._database.read() as connection:
            events = await delivery_reader.load_events(connection, subjects) if subjects else {}
            services = {event.service_id for event in events.values()}
            listeners = await delivery_reader.load_subscriptions(connection, services) if services else {}
            deliveries = await delivery_reader.load_deliveries(connection, others) if others else {}
        return _Work(events=events, listeners=listeners, deliveries=deliveries)

    def _told(self, entry: ClaimedEntry, work: _Work) -> Settlement:
        """The settlement of an event; one that cannot be told keeps no other from being told."""
        try:
            return self._fan_out(entry, work)
        except Exception as error:  # noqa: BLE001 - whatever it is, it stays with this event
            self._log.exception("event_not_told", entry_id=str(entry.id), error=type(error).__name__)
            return Settlement(entry=entry, action=RescheduleEntry(delay=FAULT_WAIT, attempts=entry.attempts))

    def _fan_out(self, entry: ClaimedEntry, work: _Work) -> Settlement:
        """One delivery for each endpoint that wants to hear of it. The body is built here, and never again."""
        event = work.events.get(entry.subject_id)
        if event is None:  # the notification was deleted meanwhile
            return Settlement(entry=entry, action=FinishEntry())
        hearing = [one for one in work.listeners.get(event.service_id, []) if one.wants(event.type)]
        text = event_body.build_notification_body(event) if hearing else ""
        rows = [
            build_delivery_row(event.event_id, one.id, event.service_id, event.type, text) | {"at": self._clock.now()}
            for one in hearing
        ]
        return Settlement(
            entry=entry,
            action=FinishEntry(),
            record=delivery_writer.WebhookEventRecord(event_id=event.event_id, deliveries=rows),
        )

    async def _tell(self, entry: ClaimedEntry, pending: PendingDelivery, desk: WorkerContext) -> None:
        """One try, and its settlement, whatever it raises."""
        try:
            settlement = await self._settlement(entry, pending)
        except Exception as error:  # noqa: BLE001 - whatever it is, it stays with this delivery
            self._log.exception("webhook_failed", delivery_id=str(pending.id), error=type(error).__name__)
            detail = f"our own code failed: {type(error).__name__}"
            settlement = self._after(entry, pending, CallResult(code=None, detail=detail, seconds=0.0))
        desk.settle(settlement)

    async def _settlement(self, entry: ClaimedEntry, pending: PendingDelivery) -> Settlement:
        if (stop := self._stopped(entry, pending)) is not None:
            return stop
        now = self._clock.now()
        try:
            keys = [self._box.open(secret) for secret in pending.secrets(now)]
        except UnreadableSecretError as error:  # a mistake of this installation: the delivery has not been tried
            if pending.endpoint_id not in self._unreadable:
                self._unreadable.add(pending.endpoint_id)
                self._log.error("webhook_secret_unreadable", endpoint_id=str(pending.endpoint_id), reason=str(error))
            return Settlement(entry=entry, action=RescheduleEntry(delay=FAULT_WAIT, attempts=entry.attempts))
        self._unreadable.discard(pending.endpoint_id)
        if (wait := self._lanes.enter(pending.endpoint_id)) is not None:
            return Settlement(entry=entry, action=RescheduleEntry(delay=wait, attempts=entry.attempts))
        answer = CallResult(code=None, detail="", seconds=0.0)
        try:
            async with self._calling:
                if self._closing or entry.lease_ends - self._clock.monotonic() < self._longest:
                    return Settlement(entry=entry, action=ReleaseEntry())
                answer = await self._call(pending, keys)
        finally:
            self._lanes.leave(pending.endpoint_id, seconds=answer.seconds, is_well=answer.is_success)
        return self._after(entry, pending, answer)

    def _stopped(self, entry: ClaimedEntry, pending: PendingDelivery) -> Settlement | None:
        """The end of what is over already, or must not be sent any more."""
        if pending.state is not DeliveryState.PENDING:
            return Settlement(entry=entry, action=FinishEntry())
        if pending.url is None or pending.disabled_because is not None:
            end = delivery_writer.WebhookAttemptRecord(
                delivery_id=pending.id,
                endpoint_id=pending.endpoint_id,
                at=self._clock.now(),
                end=DeliveryState.FAILED,
            )
            return Settlement(entry=entry, action=FinishEntry(), record=end)
        return None

    async def _call(self, pending: PendingDelivery, keys: Sequence[str]) -> CallResult:
        fields = signing.build_signature_headers(str(pending.event_id), self._clock.now(), pending.body, keys)
        answer = await self._caller.post(pending.url or "", fields, pending.body.encode())
        outcome = "delivered" if answer.is_success else "failed"
        metrics.WEBHOOKS.labels(outcome).inc()
        metrics.WEBHOOK_SECONDS.observe(answer.seconds)
        if not answer.is_success:
            self._log.info(
                "webhook_refused",
                delivery_id=str(pending.id),
                endpoint_id=str(pending.endpoint_id),
                outcome=str(answer.code or "no reply"),
                duration_ms=round(answer.seconds * 1000),
            )
        return answer

    def _after(self, entry: ClaimedEntry, pending: PendingDelivery, answer: CallResult) -> Settlement:
        """What a try means: heard, again later, or over."""
        tries, now = entry.attempts + 1, self._clock.now()
        asked = None if answer.retry_after is None else timedelta(seconds=answer.retry_after)
        spread = random.random()  # noqa: S311 - jitter
        over = answer.is_success or answer.is_gone
        wait = None if over else compute_retry_wait(tries, spread=spread, asked=asked)
        end = DeliveryState.DELIVERED if answer.is_success else DeliveryState.FAILED
        tried = delivery_writer.WebhookAttemptRecord(
            delivery_id=pending.id,
            endpoint_id=pending.endpoint_id,
            at=now,
            attempt={
                "id": generate_id(),
                "delivery_id": pending.id,
                "number": tries,
                "at": now - timedelta(seconds=answer.seconds),
                "duration_ms": round(answer.seconds * 1000),
                "code": answer.code,
                "detail": answer.detail,
            },
            end=end if wait is None else None,
            went_well=answer.is_success,
            gone="the endpoint replied 410 Gone" if answer.is_gone else None,
        )
        action = FinishEntry() if wait is None else RescheduleEntry(delay=wait, attempts=tries)
        return Settlement(entry=entry, action=action, record=tried)


def build_delivery_row(event_id: Any, endpoint_id: Any, service_id: Any, type_: str, text: str) -> dict[str, Any]:
    """The row of a delivery that is due now, with the id of its outbox entry; the time is still missing."""
    return {
        "id": generate_id(),
        "entry_id": generate_id(),
        "event_id": event_id,
        "endpoint_id": endpoint_id,
        "service_id": service_id,
        "type": type_,
        "body": text,
    }
