"""Deliver claimed notifications: load, stop early, render, send, settle.

No database connection is held while a relay connection is in use. An error with one notification never touches another.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.delivery import delivery_loader, settlement_decision, settlement_writer, simulator
from notifier.delivery.delivery_loader import Delivery
from notifier.delivery.delivery_result import (
    BatchPaused,
    BodyPermits,
    DeliveryResult,
    EarlyStop,
    JournalRecord,
    NotBegun,
    RelayAttempt,
    SettlementContext,
    describe_fault,
    stop_expired,
    stop_if_cancelled,
    stop_unrenderable,
)
from notifier.delivery.mail_renderer import ATTACHMENT_GONE, ClaimedDelivery, MailRenderer
from notifier.delivery.relay_circuits import RelayCircuits
from notifier.email_address import RecipientPolicy
from notifier.mail.mail_parts import MailAttachment, RenderedMail
from notifier.outbox.entry_handler import ClaimedEntry, FinishEntry, JournalNote, LostClaim, Settlement, WorkerContext
from notifier.outcomes import Accepted, NotTried, Outcome, Uncertain
from notifier.rendering.pool import MAX_BATCH_MAILS
from notifier.settings import SenderSettings
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.states import CANCELLABLE_STATUSES, WAITING_STATUSES, EntryKind, Reason, Status
from notifier.submission import attachment_validation
from notifier.telemetry.logging import get_logger
from notifier.template_language.secret_erasure import SecretErasure
from notifier.throttle.circuit_breaker import AttemptedMail

LEASE_MARGIN = 0.1
"""The part of the lease that is reserved for settling: no SMTP transaction may run when the entry can be rescued."""
MAX_MAILS_WITH_FILES = 4  # mails with attachments or images that are in memory at the same time


class EmailHandler:
    """The handler of e-mail entries."""

    kind = EntryKind.EMAIL
    still_wanted = delivery_loader.STILL_DELIVERABLE

    def __init__(
        self,
        database: Database,
        renderer: MailRenderer,
        transport: SmtpTransport,
        *,
        policy: RecipientPolicy,
        settings: SenderSettings,
        clock: Clock,
    ) -> None:
        self.slots = settings.concurrency
        self.lease = timedelta(seconds=settings.lease)
        self.circuits = RelayCircuits(transport.relay, clock)
        self.relay = self.circuits.relay
        self._database = database
        self._renderer = renderer
        self._transport = transport
        self._policy = policy
        self._resend_after = timedelta(seconds=settings.resend_after)
        self.bodies = min(settings.concurrency, transport.connections)
        self._mails_with_files = asyncio.Semaphore(MAX_MAILS_WITH_FILES)
        self._sending = asyncio.Semaphore(settings.concurrency)
        self._clock = clock
        self._closing = False
        self._log = get_logger()
        self._min_level = self._log.get_effective_level()  # read once, because reading it costs more than a comparison

    # -- called by the worker ---------------------------------------------------------------------

    def get_capacity(self) -> int:
        """Return how many entries to claim: all while the relay is usable, one when a probe is due, else none."""
        if not self.relay.is_open:
            return 1_000_000
        return 1 if self.relay.probe_is_due else 0

    async def process(self, batch: Sequence[ClaimedEntry], worker: WorkerContext) -> None:
        """Take the batch through all steps; each entry is settled as soon as its result is known."""
        mails = self._stop_early(await self._load(batch, worker), worker)
        costly_mails = [
            claimed for claimed in mails if claimed.delivery.attachments or self._renderer.is_costly(claimed)
        ]
        cheap_mails = [claimed for claimed in mails if claimed not in costly_mails]
        groups = [cheap_mails[start : start + MAX_BATCH_MAILS] for start in range(0, len(cheap_mails), MAX_BATCH_MAILS)]
        groups += [[claimed] for claimed in costly_mails]
        # If one part fails, the others still run to their end: a transaction that is cancelled after its final dot
        # would be sent again. (A task group would cancel them.)
        outcomes = await asyncio.gather(*(self._send_group(group, worker) for group in groups), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write statuses, attempts and suppressions of settled entries."""
        await settlement_writer.write_settlements(connection, settled)

    async def recover_lost(self, connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Settle the mails of a dead sender."""
        return await settlement_writer.recover_lost(connection, lost, self._build_context())

    async def replay(
        self, connection: StatementConnection, notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Settle the replies that a dead sender left in its journal."""
        return await settlement_writer.replay_journal(connection, notes, self._build_context())

    def close(self) -> None:
        """Begin no new SMTP transactions; what has not started is released."""
        self._closing = True

    # -- the steps, in order ----------------------------------------------------------------------
    async def _load(self, batch: Sequence[ClaimedEntry], worker: WorkerContext) -> list[ClaimedDelivery]:
        async with self._database.read_statement() as connection:
            deliveries = await delivery_loader.load_deliveries(connection, {entry.subject_id for entry in batch})
        loaded = []
        for entry in batch:
            if (delivery := deliveries.get(entry.subject_id)) is not None:
                loaded.append(ClaimedDelivery(entry=entry, delivery=delivery))
            else:
                self._log.error("notification_missing", entry_id=str(entry.id))
                worker.settle(Settlement(entry=entry, action=FinishEntry()))
        return loaded

    def _stop_early(self, group: list[ClaimedDelivery], worker: WorkerContext) -> list[ClaimedDelivery]:
        """Settle what need not or must not be sent; return the others."""
        remaining = []
        for claimed in group:
            delivery, entry = claimed.delivery, claimed.entry
            try:
                result = stop_if_cancelled(delivery) or self._find_reason_to_stop(delivery, entry)
            except Exception as error:  # noqa: BLE001 - an error here must not stop the other mails
                self._log.exception("preparing_failed", notification_id=str(delivery.id))
                result = describe_fault(error)
            if result is not None:
                self._settle(claimed, result, worker)
            else:
                remaining.append(claimed)
        return remaining

    def _find_reason_to_stop(self, delivery: Delivery, entry: ClaimedEntry) -> DeliveryResult | None:
        if delivery.status not in WAITING_STATUSES:
            return EarlyStop(status=delivery.status, reason=delivery.reason or Reason.INTERNAL, detail="already ended")
        if delivery.expires_at <= self._clock.now():
            return stop_expired(delivery, entry)
        if delivery.suppressed_because is not None:
            detail = f"the address is suppressed: {delivery.suppressed_because}"
            return EarlyStop(status=Status.SUPPRESSED, reason=Reason.RECIPIENT_SUPPRESSED, detail=detail)
        if delivery.is_paused and delivery.status in CANCELLABLE_STATUSES:
            return BatchPaused()
        # Of a simulated mail nothing leaves, so the policy does not matter.
        return None if delivery.is_simulated else self._find_obstacle(delivery)

    def _find_obstacle(self, delivery: Delivery) -> DeliveryResult | None:
        if not self._policy.allows(delivery.recipient):
            detail = self._policy.explain_refusal()
            return EarlyStop(status=Status.FAILED, reason=Reason.RECIPIENT_NOT_ALLOWED, detail=detail)
        obstacle = self.circuits.find_obstacle(delivery.envelope_from)
        return None if obstacle is None else self._build_not_tried(obstacle)

    def _build_not_tried(self, obstacle: NotTried) -> RelayAttempt:
        relay, now = self._transport.relay, self._clock.now()
        return RelayAttempt(outcome=obstacle, relay=relay, started_at=now, seconds=0.0, sha256=b"")

    async def _send_group(self, group: list[ClaimedDelivery], worker: WorkerContext) -> None:
        """Send mails that are rendered together; those with attachments or images a few at a time, to save memory."""
        attachments = group[0].delivery.attachments  # a mail with attachments is alone
        versions = [claimed.delivery.template_version_id for claimed in group]
        if not attachments and not await self._renderer.have_images(versions):
            await self._render_and_send(group, worker)
            return
        async with self._mails_with_files:
            files = await attachment_validation.load_attachments(self._database.read, attachments)
            if files is None:
                self._settle(group[0], stop_unrenderable(ATTACHMENT_GONE), worker)
            else:
                await self._render_and_send(group, worker, files)

    async def _render_and_send(
        self, group: list[ClaimedDelivery], worker: WorkerContext, files: Sequence[MailAttachment] = ()
    ) -> None:
        """Render these mails together, then send them; other groups are rendered and sent meanwhile."""
        rendered_mails = []
        results = await self._renderer.render_mails(group, files)
        for claimed, result in zip(group, results, strict=True):
            if isinstance(result, RenderedMail):
                rendered_mails.append((claimed, result))
            else:
                self._settle(claimed, result, worker)
        await asyncio.gather(*(self._send(claimed, rendered, worker) for claimed, rendered in rendered_mails))

    async def _send(self, claimed: ClaimedDelivery, rendered: RenderedMail, worker: WorkerContext) -> None:
        """Send one mail, and settle it whatever error is raised."""
        try:
            async with self._sending:
                result = await self._attempt(claimed, rendered, worker)
        except Exception as error:  # noqa: BLE001 - an error must not stop the other mails
            self._log.exception("delivery_failed", notification_id=str(claimed.delivery.id), error=type(error).__name__)
            result = describe_fault(error)
        self._settle(claimed, result, worker)

    async def _attempt(self, claimed: ClaimedDelivery, rendered: RenderedMail, worker: WorkerContext) -> DeliveryResult:
        seconds_left = claimed.entry.lease_ends - self._clock.monotonic() - LEASE_MARGIN * self.lease.total_seconds()
        recipient, simulated = claimed.delivery.recipient, claimed.delivery.is_simulated
        is_unreachable = self.relay.is_open and not self.relay.probe_is_due
        if self._closing or seconds_left <= 0 or (is_unreachable and not simulated):
            return NotBegun()
        permits = BodyPermits(claimed.entry, worker, self._clock)
        if simulated:
            outcome = await simulator.simulate_reply(claimed.delivery, permits)
        else:
            outcome = await self._hand_over(claimed, rendered, permits, seconds=seconds_left)
        attempt = RelayAttempt(
            outcome=outcome,
            relay=simulator.SIMULATOR_RELAY if simulated else self._transport.relay,
            started_at=permits.started_at,
            seconds=permits.elapsed_seconds(),
            sha256=rendered.sha256,
            envelope_to=recipient if simulated else self._policy.envelope_to(recipient),
        )
        try:
            if permits.was_granted and not isinstance(outcome, Uncertain):
                # Done first, because from here on the reply survives if the process is killed.
                worker.note(claimed.entry, JournalRecord.from_attempt(attempt, claimed.delivery.uncertain_at))
            return self._record_outcome(claimed, attempt)
        except Exception as error:  # noqa: BLE001 - the reply counts even if the journal or the circuits fail
            self._log.exception("notes_failed", notification_id=str(claimed.delivery.id), error=type(error).__name__)
        return attempt

    async def _hand_over(
        self, claimed: ClaimedDelivery, rendered: RenderedMail, permits: BodyPermits, *, seconds: float
    ) -> Outcome:
        """Hand the mail to the relay; once its body was permitted, an error of our own makes it uncertain."""
        recipient = self._policy.envelope_to(claimed.delivery.recipient)
        mail = OutgoingMail(sender=claimed.delivery.envelope_from, recipient=recipient, data=rendered.wire)
        try:
            return await self._transport.send(mail, seconds=seconds, before_body=permits.request)
        except Exception as error:
            if not permits.was_granted:
                raise
            self._log.exception("handing_over_failed", entry_id=str(permits.entry.id))
            return Uncertain(detail=f"our own code failed while the mail was handed over: {type(error).__name__}")

    def _record_outcome(self, claimed: ClaimedDelivery, attempt: RelayAttempt) -> RelayAttempt:
        """Tell the circuits about the try; they may decide that it counts as another outcome."""
        if attempt.relay == simulator.SIMULATOR_RELAY:
            simulator.count_attempt(attempt.outcome)
        else:
            attempted_mail = AttemptedMail(
                service=claimed.delivery.service_id,
                sender=claimed.delivery.envelope_from,
                recipient=attempt.envelope_to or claimed.delivery.recipient,
            )
            outcome = self.circuits.record_outcome(attempted_mail, attempt.outcome, attempt.seconds)
            if outcome is not attempt.outcome:
                attempt = msgspec.structs.replace(attempt, outcome=outcome)
        # Successes are in the database, a metric and the timeline: a line for each would be half of the log.
        level = logging.DEBUG if isinstance(attempt.outcome, Accepted) else logging.INFO
        if level >= self._min_level:
            self._log.log(
                level,
                "tried",
                notification_id=str(claimed.delivery.id),
                entry_id=str(claimed.entry.id),
                lease_no=claimed.entry.lease_no,
                outcome=type(attempt.outcome).__name__.lower(),
                duration_ms=round(attempt.seconds * 1000),
            )
        return attempt

    def _settle(self, claimed: ClaimedDelivery, result: DeliveryResult, worker: WorkerContext) -> None:
        erasure = self._renderer.get_secret_erasure(claimed.delivery)
        context = self._build_context(self.circuits.get_wait(claimed.delivery.envelope_from), erasure)
        worker.settle(settlement_decision.decide_settlement(claimed.entry, claimed.delivery, result, context))

    def _build_context(self, wait: timedelta = timedelta(0), erasure: SecretErasure | None = None) -> SettlementContext:
        return SettlementContext(
            now=self._clock.now(),
            jitter=random.random(),  # noqa: S311 - jitter
            resend_after=self._resend_after,
            sender_wait=wait,
            erasure=erasure,
        )
