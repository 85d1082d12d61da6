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
from notifier.db.direct import Connection
from notifier.db.engine import Database
from notifier.notification import aftermath, load, octets, settle, simulator
from notifier.notification.circuits import Circuits
from notifier.notification.compose import ATTACHMENT_GONE
from notifier.notification.gate import Gate
from notifier.notification.load import Delivery
from notifier.notification.make import MailMaker, Work
from notifier.notification.recipients import RecipientPolicy
from notifier.notification.testimony import Testimony
from notifier.notification.verdict import (
    Circumstances,
    GivenBack,
    Stopped,
    Tried,
    Verdict,
    cancelled,
    expired,
    faulted,
    unrenderable,
)
from notifier.outbox.handler import Claimed, Desk, Finish, Lost, Note, Settlement
from notifier.outcomes import Accepted, NotTried, Outcome, Uncertain
from notifier.rendering.job import Attachment, Rendered
from notifier.rendering.pool import LARGEST_BATCH
from notifier.settings import SenderSettings
from notifier.smtp.mail import Mail
from notifier.smtp.transport import Transport
from notifier.states import WAITING, EntryKind, Reason, Status
from notifier.telemetry.logging import get_logger
from notifier.throttle.confirmation import TriedMail

LEASE_MARGIN = 0.1
"""The part of the lease that is reserved for settling: no SMTP transaction may run when the entry can be rescued."""
MOST_CARRIED = 4
"""Mails with attachments or images that are in memory at the same time."""


class Deliverer:
    """The handler of e-mail entries."""

    kind = EntryKind.EMAIL
    still_wanted = load.STILL_WANTED

    def __init__(
        self,
        database: Database,
        maker: MailMaker,
        transport: Transport,
        *,
        policy: RecipientPolicy,
        settings: SenderSettings,
        clock: Clock,
    ) -> None:
        self.slots = settings.concurrency
        self.lease = timedelta(seconds=settings.lease)
        self.circuits = Circuits(transport.relay, clock)
        self.relay = self.circuits.relay
        self._database = database
        self._maker = maker
        self._transport = transport
        self._policy = policy
        self._resend_after = timedelta(seconds=settings.resend_after)
        self.bodies = min(settings.concurrency, transport.connections)
        self._carrying = asyncio.Semaphore(MOST_CARRIED)
        self._sending = asyncio.Semaphore(settings.concurrency)
        self._clock = clock
        self._closing = False
        self._log = get_logger()
        self._least = self._log.get_effective_level()  # read once, because reading it costs more than a comparison

    # -- called by the worker ---------------------------------------------------------------------

    def room(self) -> int:
        """How many entries to claim: all while the relay is usable, one when a probe is due, else none."""
        if not self.relay.is_open:
            return 1_000_000
        return 1 if self.relay.probe_is_due else 0

    async def process(self, batch: Sequence[Claimed], desk: Desk) -> None:
        """Take the batch through all steps; each entry is settled as soon as its result is known."""
        prepared = self._prepare(await self._load(batch, desk), desk)
        alone = [claimed for claimed in prepared if claimed.delivery.attachments or self._maker.is_costly(claimed)]
        light = [claimed for claimed in prepared if claimed not in alone]
        parts = [light[start : start + LARGEST_BATCH] for start in range(0, len(light), LARGEST_BATCH)]
        parts += [[claimed] for claimed in alone]
        # If one part fails, the others still run to their end: a transaction that is cancelled after its final dot
        # would be sent again. (A task group would cancel them.)
        ends = await asyncio.gather(*(self._send_part(part, desk) for part in parts), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def record(self, connection: Connection, settled: Sequence[Settlement]) -> None:
        """Write statuses, attempts and suppressions of settled entries."""
        await settle.write(connection, settled)

    async def mourn(self, connection: Connection, lost: Sequence[Lost]) -> list[Settlement]:
        """Settle the mails of a dead sender."""
        return await aftermath.mourn(connection, lost, self._circumstances())

    async def replay(self, connection: Connection, notes: Sequence[tuple[Claimed, Note]]) -> list[Settlement]:
        """Settle the replies that a dead sender left in its journal."""
        return await aftermath.replay(connection, notes, self._circumstances())

    def close(self) -> None:
        """Begin no new SMTP transactions; what has not started is released."""
        self._closing = True

    # -- the steps, in order ----------------------------------------------------------------------

    async def _load(self, batch: Sequence[Claimed], desk: Desk) -> list[Work]:
        async with self._database.single_read() as connection:
            deliveries = await load.deliveries(connection, {entry.subject_id for entry in batch})
        work = []
        for entry in batch:
            if (delivery := deliveries.get(entry.subject_id)) is not None:
                work.append(Work(entry=entry, delivery=delivery))
            else:
                self._log.error("notification_missing", entry_id=str(entry.id))
                desk.settle(Settlement(entry=entry, action=Finish()))
        return work

    def _prepare(self, work: list[Work], desk: Desk) -> list[Work]:
        """Settle what need not or must not be sent; return the others."""
        prepared = []
        for claimed in work:
            try:
                verdict = cancelled(claimed.delivery) or self._reason_to_stop(claimed.delivery, claimed.entry)
            except Exception as error:  # noqa: BLE001 - an error here must not stop the other mails
                self._log.exception("preparing_failed", notification_id=str(claimed.delivery.id))
                verdict = faulted(error)
            if verdict is not None:
                self._settle(claimed, verdict, desk)
            else:
                prepared.append(claimed)
        return prepared

    def _reason_to_stop(self, delivery: Delivery, entry: Claimed) -> Verdict | None:
        if delivery.status not in WAITING:
            return Stopped(status=delivery.status, reason=delivery.reason or Reason.INTERNAL, detail="already ended")
        if delivery.expires_at <= self._clock.now():
            return expired(delivery, entry)
        if delivery.suppressed_because is not None:
            detail = f"the address is suppressed: {delivery.suppressed_because}"
            return Stopped(status=Status.SUPPRESSED, reason=Reason.RECIPIENT_SUPPRESSED, detail=detail)
        if simulator.simulates(delivery):
            return None  # nothing leaves, so the policy does not matter
        if not self._policy.allows(delivery.recipient):
            detail = self._policy.explanation()
            return Stopped(status=Status.FAILED, reason=Reason.RECIPIENT_NOT_ALLOWED, detail=detail)
        obstacle = self.circuits.obstacle(delivery.envelope_from)
        return self._not_tried(obstacle) if obstacle is not None else None

    def _not_tried(self, obstacle: NotTried) -> Tried:
        started = self._clock.now()
        return Tried(outcome=obstacle, relay=self._transport.relay, started_at=started, seconds=0.0, sha256=b"")

    async def _send_part(self, part: list[Work], desk: Desk) -> None:
        """Send mails that are rendered together; those with attachments or images a few at a time, to save memory."""
        attachments = part[0].delivery.attachments  # a mail with attachments is alone
        if not attachments and not await self._maker.have_images(
            [claimed.delivery.template_version_id for claimed in part]
        ):
            await self._render_and_send(part, desk)
            return
        async with self._carrying:
            files = await octets.attachments(self._database, attachments)
            if files is None:
                self._settle(part[0], unrenderable(ATTACHMENT_GONE), desk)
            else:
                await self._render_and_send(part, desk, files)

    async def _render_and_send(self, work: list[Work], desk: Desk, files: Sequence[Attachment] = ()) -> None:
        """Render these mails together, then send them; other groups are rendered and sent meanwhile."""
        ready = []
        results = await self._maker.made(work, files)
        for claimed, result in zip(work, results, strict=True):
            if isinstance(result, Rendered):
                ready.append((claimed, result))
            else:
                self._settle(claimed, result, desk)
        await asyncio.gather(*(self._send(claimed, rendered, desk) for claimed, rendered in ready))

    async def _send(self, claimed: Work, rendered: Rendered, desk: Desk) -> None:
        """Send one mail and settle it, whatever is raised."""
        try:
            async with self._sending:
                verdict = await self._try(claimed, rendered, desk)
        except Exception as error:  # noqa: BLE001 - an error must not stop the other mails
            self._log.exception("delivery_failed", notification_id=str(claimed.delivery.id), error=type(error).__name__)
            verdict = faulted(error)
        self._settle(claimed, verdict, desk)

    async def _try(self, claimed: Work, rendered: Rendered, desk: Desk) -> Verdict:
        seconds_left = claimed.entry.lease_ends - self._clock.monotonic() - LEASE_MARGIN * self.lease.total_seconds()
        simulated = simulator.simulates(claimed.delivery)
        away = self.relay.is_open and not self.relay.probe_is_due
        if self._closing or seconds_left <= 0 or (away and not simulated):
            return GivenBack()
        gate = Gate(claimed.entry, desk, self._clock)
        if simulated:
            outcome = await simulator.answer(claimed.delivery, gate)
        else:
            outcome = await self._hand_over(claimed, rendered, gate, seconds=seconds_left)
        tried = Tried(
            outcome=outcome,
            relay=simulator.RELAY if simulated else self._transport.relay,
            started_at=gate.said_at,
            seconds=gate.seconds(),
            sha256=rendered.sha256,
            envelope_to=claimed.delivery.recipient
            if simulated
            else self._policy.envelope_to(claimed.delivery.recipient),
        )
        try:
            if gate.was_open and not isinstance(outcome, Uncertain):
                # First of all: from here on the reply survives if the process is killed.
                desk.note(claimed.entry, Testimony.of(tried, claimed.delivery.uncertain_at))
            return self._learn(claimed, tried)
        except Exception as error:  # noqa: BLE001 - the reply counts even if the journal or the circuits fail
            self._log.exception("notes_failed", notification_id=str(claimed.delivery.id), error=type(error).__name__)
        return tried

    async def _hand_over(self, claimed: Work, rendered: Rendered, gate: Gate, *, seconds: float) -> Outcome:
        """Hand the mail to the relay; after the permit for its body an error of our own makes it uncertain."""
        recipient = self._policy.envelope_to(claimed.delivery.recipient)
        mail = Mail(sender=claimed.delivery.envelope_from, recipient=recipient, wire=rendered.wire)
        try:
            return await self._transport.send(mail, seconds=seconds, before_body=gate.ask)
        except Exception as error:
            if not gate.was_open:
                raise
            self._log.exception("handing_over_failed", entry_id=str(gate.entry.id))
            detail = f"our own code failed while the mail was handed over: {type(error).__name__}"
            return Uncertain(detail=detail)

    def _learn(self, claimed: Work, tried: Tried) -> Tried:
        """Tell the circuits about the try; they may decide that it counts as another outcome."""
        if tried.relay == simulator.RELAY:
            simulator.count(tried.outcome)
        else:
            mail = TriedMail(
                service=claimed.delivery.service_id,
                sender=claimed.delivery.envelope_from,
                recipient=tried.envelope_to or claimed.delivery.recipient,
            )
            outcome = self.circuits.learn(mail, tried.outcome, tried.seconds)
            if outcome is not tried.outcome:
                tried = msgspec.structs.replace(tried, outcome=outcome)
        # Successes are in the database, a metric and the timeline: a line for each would be half of the log.
        level = logging.DEBUG if isinstance(tried.outcome, Accepted) else logging.INFO
        if level >= self._least:
            self._log.log(
                level,
                "tried",
                notification_id=str(claimed.delivery.id),
                entry_id=str(claimed.entry.id),
                lease_no=claimed.entry.lease_no,
                outcome=type(tried.outcome).__name__.lower(),
                duration_ms=round(tried.seconds * 1000),
            )
        return tried

    def _settle(self, claimed: Work, verdict: Verdict, desk: Desk) -> None:
        context = self._circumstances(self.circuits.wait_for(claimed.delivery.envelope_from))
        desk.settle(settle.decide(claimed.entry, claimed.delivery, verdict, context))

    def _circumstances(self, sender_wait: timedelta = timedelta(0)) -> Circumstances:
        return Circumstances(
            now=self._clock.now(),
            spread=random.random(),  # noqa: S311 - jitter
            resend_after=self._resend_after,
            sender_wait=sender_wait,
        )
