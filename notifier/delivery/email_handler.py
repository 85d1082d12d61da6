"""Delivering claimed notifications: load, stop early, render, send, settle. The orchestrator of the sender's half.

No database connection is held while a relay is spoken to, and whatever happens to one notification stays with it.
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
from notifier.delivery import delivery_loader, recovery, settlement_decision, simulator
from notifier.delivery.body_permits import BodyPermits
from notifier.delivery.delivery_loader import Delivery
from notifier.delivery.delivery_result import (
    DeliveryResult,
    EarlyStop,
    NotBegun,
    RelayAttempt,
    SettlementContext,
    describe_fault,
    stop_expired,
    stop_if_cancelled,
    stop_unrenderable,
)
from notifier.delivery.journal_record import JournalRecord
from notifier.delivery.mail_renderer import ClaimedDelivery, MailRenderer
from notifier.delivery.relay_circuits import RelayCircuits
from notifier.delivery.render_job import ATTACHMENT_GONE
from notifier.outbox.handler import ClaimedEntry, FinishEntry, JournalNote, LostClaim, Settlement, WorkerContext
from notifier.outcomes import Accepted, NotTried, Outcome, Uncertain
from notifier.recipient_policy import RecipientPolicy
from notifier.rendering.pool import MAX_BATCH_MAILS
from notifier.rendering.protocol import MailAttachment, RenderedMail
from notifier.settings import SenderSettings
from notifier.smtp.outgoing_mail import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.states import WAITING_STATUSES, EntryKind, Reason, Status
from notifier.submission import attachment_store
from notifier.telemetry.logging import get_logger
from notifier.throttle.fault_confirmation import AttemptedMail

LEASE_MARGIN = 0.1
"""The part of the lease kept for settling: no transaction may still run when somebody else may rescue the entry."""
MAX_MAILS_WITH_FILES = 4
"""Mails with attachments that are in memory at the same time."""


class EmailHandler:
    """The handler of e-mail entries."""

    kind = EntryKind.EMAIL
    still_wanted = delivery_loader.STILL_DELIVERABLE

    def __init__(
        self,
        database: Database,
        maker: MailRenderer,
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
        self._renderer = maker
        self._transport = transport
        self._policy = policy
        self._resend_after = timedelta(seconds=settings.resend_after)
        self.bodies = min(settings.concurrency, transport.connections)
        self._mails_with_files = asyncio.Semaphore(MAX_MAILS_WITH_FILES)
        self._sending = asyncio.Semaphore(settings.concurrency)
        self._clock = clock
        self._closing = False
        self._log = get_logger()
        self._min_level = self._log.get_effective_level()  # of what is logged: asking for it costs more than the answer

    # -- what the worker asks ---------------------------------------------------------------------

    def get_capacity(self) -> int:
        """Everything while the relay is usable; one probe when a try is worth it; else nothing."""
        if not self.relay.is_open:
            return 1_000_000
        return 1 if self.relay.probe_is_due else 0

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        """Take the batch through all steps; each entry is settled as soon as its own fate is known."""
        prepared = self._stop_early(await self._load(batch, desk), desk)
        alone = [one for one in prepared if one.delivery.attachments or self._renderer.is_costly(one)]
        light = [one for one in prepared if one not in alone]
        parts = [light[start : start + MAX_BATCH_MAILS] for start in range(0, len(light), MAX_BATCH_MAILS)]
        parts += [[one] for one in alone]
        # Whatever happens in one part, what has begun in the others runs to its end: a transaction that is cancelled
        # after its dot would be sent again. (A task group would cancel.)
        ends = await asyncio.gather(*(self._send_group(part, desk) for part in parts), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write statuses, attempts and suppressions of settled entries."""
        await settlement_decision.write_settlements(connection, settled)

    async def recover_lost(self, connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Decide about mails whose sender is dead."""
        return await recovery.recover_lost(connection, lost, self._build_context())

    async def replay(
        self, connection: StatementConnection, notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """What a dead sender had heard and could not write down."""
        return await recovery.replay_journal(connection, notes, self._build_context())

    def close(self) -> None:
        """Begin no new transactions: what has not started is given back."""
        self._closing = True

    # -- the steps, in order ----------------------------------------------------------------------

    async def _load(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> list[ClaimedDelivery]:
        async with self._database.read_statement() as connection:
            found = await delivery_loader.load_deliveries(connection, {entry.subject_id for entry in batch})
        work = []
        for entry in batch:
            if (delivery := found.get(entry.subject_id)) is not None:
                work.append(ClaimedDelivery(entry=entry, delivery=delivery))
            else:
                self._log.error("notification_missing", entry_id=str(entry.id))
                desk.settle(Settlement(entry=entry, action=FinishEntry()))
        return work

    def _stop_early(self, work: list[ClaimedDelivery], desk: WorkerContext) -> list[ClaimedDelivery]:
        """End what need not or must not be sent any more; the rest."""
        prepared = []
        for one in work:
            try:
                verdict = stop_if_cancelled(one.delivery) or self._reason_to_stop(one.delivery, one.entry)
            except Exception as error:  # noqa: BLE001 - a row that raises here must not stop its neighbours
                self._log.exception("preparing_failed", notification_id=str(one.delivery.id))
                verdict = describe_fault(error)
            if verdict is not None:
                self._settle(one, verdict, desk)
            else:
                prepared.append(one)
        return prepared

    def _reason_to_stop(self, delivery: Delivery, entry: ClaimedEntry) -> DeliveryResult | None:
        if delivery.status not in WAITING_STATUSES:
            return EarlyStop(status=delivery.status, reason=delivery.reason or Reason.INTERNAL, detail="already ended")
        if delivery.expires_at <= self._clock.now():
            return stop_expired(delivery, entry)
        if delivery.suppressed_because is not None:
            detail = f"the address is suppressed: {delivery.suppressed_because}"
            return EarlyStop(status=Status.SUPPRESSED, reason=Reason.RECIPIENT_SUPPRESSED, detail=detail)
        if simulator.uses_simulator(delivery):
            return None  # it reaches nobody, allowed or not
        if not self._policy.allows(delivery.recipient):
            detail = self._policy.explain_refusal()
            return EarlyStop(status=Status.FAILED, reason=Reason.RECIPIENT_NOT_ALLOWED, detail=detail)
        obstacle = self.circuits.find_obstacle(delivery.envelope_from)
        return self._build_obstacle_result(obstacle) if obstacle is not None else None

    def _build_obstacle_result(self, obstacle: NotTried) -> RelayAttempt:
        started = self._clock.now()
        return RelayAttempt(outcome=obstacle, relay=self._transport.relay, started_at=started, seconds=0.0, sha256=b"")

    async def _send_group(self, part: list[ClaimedDelivery], desk: WorkerContext) -> None:
        """Mails that are rendered together; with files or images few at a time, because each may be megabytes."""
        names = part[0].delivery.attachments  # a mail that has any is alone
        if not names and not await self._renderer.have_images([one.delivery.template_version_id for one in part]):
            await self._render_and_send(part, desk)
            return
        async with self._mails_with_files:
            files = await attachment_store.load_attachments(self._database, names)
            if files is None:
                self._settle(part[0], stop_unrenderable(ATTACHMENT_GONE), desk)
            else:
                await self._render_and_send(part, desk, files)

    async def _render_and_send(
        self, work: list[ClaimedDelivery], desk: WorkerContext, files: Sequence[MailAttachment] = ()
    ) -> None:
        """As many as are rendered together; meanwhile the next ones are rendered, and the ones before are sent."""
        ready = []
        made = await self._renderer.render_mails(work, files)
        for one, mail in zip(work, made, strict=True):
            if isinstance(mail, RenderedMail):
                ready.append((one, mail))
            else:
                self._settle(one, mail, desk)
        await asyncio.gather(*(self._send(one, rendered, desk) for one, rendered in ready))

    async def _send(self, one: ClaimedDelivery, rendered: RenderedMail, desk: WorkerContext) -> None:
        """One transaction with the relay, and its settlement, whatever it raises."""
        try:
            async with self._sending:
                verdict = await self._attempt(one, rendered, desk)
        except Exception as error:  # noqa: BLE001 - whatever it is, it stays with this notification
            self._log.exception("delivery_failed", notification_id=str(one.delivery.id), error=type(error).__name__)
            verdict = describe_fault(error)
        self._settle(one, verdict, desk)

    async def _attempt(self, one: ClaimedDelivery, rendered: RenderedMail, desk: WorkerContext) -> DeliveryResult:
        left = one.entry.lease_ends - self._clock.monotonic() - LEASE_MARGIN * self.lease.total_seconds()
        simulated = simulator.uses_simulator(one.delivery)
        away = self.relay.is_open and not self.relay.probe_is_due
        if self._closing or left <= 0 or (away and not simulated):
            return NotBegun()
        gate = BodyPermits(one.entry, desk, self._clock)
        if simulated:
            outcome = await simulator.simulate_reply(one.delivery, gate)
        else:
            outcome = await self._hand_over(one, rendered, gate, seconds=left)
        tried = RelayAttempt(
            outcome=outcome,
            relay=simulator.SIMULATOR_RELAY if simulated else self._transport.relay,
            started_at=gate.started_at,
            seconds=gate.elapsed_seconds(),
            sha256=rendered.sha256,
            envelope_to=one.delivery.recipient if simulated else self._policy.envelope_to(one.delivery.recipient),
        )
        try:
            if gate.was_granted and not isinstance(outcome, Uncertain):
                # Before anything else: from here on a killed process has not lost what it has heard.
                desk.note(one.entry, JournalRecord.from_attempt(tried, one.delivery.uncertain_at))
            return self._record_outcome(one, tried)
        except Exception as error:  # noqa: BLE001 - what was heard counts, whatever becomes of our notes about it
            self._log.exception("notes_failed", notification_id=str(one.delivery.id), error=type(error).__name__)
        return tried

    async def _hand_over(
        self, one: ClaimedDelivery, rendered: RenderedMail, gate: BodyPermits, *, seconds: float
    ) -> Outcome:
        """What the relay says; where a body was permitted, an error of our own leaves it uncertain."""
        recipient = self._policy.envelope_to(one.delivery.recipient)
        mail = OutgoingMail(sender=one.delivery.envelope_from, recipient=recipient, data=rendered.wire)
        try:
            return await self._transport.send(mail, seconds=seconds, before_body=gate.request)
        except Exception as error:
            if not gate.was_granted:
                raise
            self._log.exception("handing_over_failed", entry_id=str(gate.entry.id))
            detail = f"our own code failed while the mail was handed over: {type(error).__name__}"
            return Uncertain(detail=detail)

    def _record_outcome(self, one: ClaimedDelivery, tried: RelayAttempt) -> RelayAttempt:
        """The try, as what it counts now that the circuits know of it."""
        if tried.relay == simulator.SIMULATOR_RELAY:
            simulator.count_attempt(tried.outcome)
        else:
            mail = AttemptedMail(
                service=one.delivery.service_id,
                sender=one.delivery.envelope_from,
                recipient=tried.envelope_to or one.delivery.recipient,
            )
            outcome = self.circuits.record_outcome(mail, tried.outcome, tried.seconds)
            if outcome is not tried.outcome:
                tried = msgspec.structs.replace(tried, outcome=outcome)
        # What went well stands in the database, in a metric and in the timeline: a line for each would be half the log.
        level = logging.DEBUG if isinstance(tried.outcome, Accepted) else logging.INFO
        if level >= self._min_level:
            self._log.log(
                level,
                "tried",
                notification_id=str(one.delivery.id),
                entry_id=str(one.entry.id),
                lease_no=one.entry.lease_no,
                outcome=type(tried.outcome).__name__.lower(),
                duration_ms=round(tried.seconds * 1000),
            )
        return tried

    def _settle(self, one: ClaimedDelivery, verdict: DeliveryResult, desk: WorkerContext) -> None:
        given = self._build_context(self.circuits.get_wait(one.delivery.envelope_from))
        desk.settle(settlement_decision.decide_settlement(one.entry, one.delivery, verdict, given))

    def _build_context(self, sender_wait: timedelta = timedelta(0)) -> SettlementContext:
        return SettlementContext(
            now=self._clock.now(),
            jitter=random.random(),  # noqa: S311 - jitter
            resend_after=self._resend_after,
            sender_wait=sender_wait,
        )
