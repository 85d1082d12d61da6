"""In any order of events the status index equals the statuses, and only services with an endpoint get events.

A seeded random walk over the real functions: callers submit, cancel, retry and resolve; a sender claims, settles with
any outcome, is killed and recovered, and finds proofs late; feedback arrives.
"""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

import httpx2
import pytest
from chaos.size import size
from sqlalchemy import select, update
from support import api_caller
from support.crashed_sender import CrashedSender
from support.seeded_installation import WELCOME, Installation

from notifier import outcomes
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.db.tables import Notification, OutboxEntry, StatusIndex, WebhookEndpoint, WebhookEvent, get_columns
from notifier.delivery import delivery_loader, delivery_result, settlement_decision, settlement_writer
from notifier.lookup import notification_search
from notifier.lookup.index_walk import NotificationFilter
from notifier.lookup.notification_search import PageRequest
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import ClaimedEntry, Settlement
from notifier.outbox.entry_store import LeaseSelection
from notifier.runtime import wiring
from notifier.states import EntryKind, Reason, Status, TransitionCause
from notifier.status.status_writer import StatusChange, apply_status_changes

ROUNDS = size(5, 200)
MAX_ROUNDS = ROUNDS + 60  # until every status has occurred
SEEDS = range(size(1, 10))
_n, _listed, _entry = get_columns(Notification), get_columns(StatusIndex), get_columns(OutboxEntry)
_endpoint, _event = get_columns(WebhookEndpoint), get_columns(WebhookEvent)
_YES, _LATER, _NO = (
    outcomes.SmtpReply(code=250),
    outcomes.SmtpReply(code=451, enhanced="4.3.0"),
    outcomes.SmtpReply(code=550, enhanced="5.1.1"),
)
_OUTCOMES = (
    outcomes.Accepted(reply=_YES),
    outcomes.Deferred(phase=outcomes.SmtpPhase.DATA, reply=_LATER),
    outcomes.Rejected(phase=outcomes.SmtpPhase.RCPT, refused=outcomes.RefusalKind.RECIPIENT, reply=_NO),
    outcomes.Rejected(phase=outcomes.SmtpPhase.BODY, refused=outcomes.RefusalKind.MESSAGE, reply=_NO),
    outcomes.Uncertain(detail="silence"),
    outcomes.NotTried(detail="no relay"),
    outcomes.NotTried(detail="not this sender", scope=outcomes.OutageScope.SENDER),
)


@dataclass
class Walk:
    """The installation, and the state that the test compares with."""

    parts: wiring.ProcessParts
    installation: Installation
    clients: dict[str, httpx2.AsyncClient]
    services: dict[UUID, str]
    draw: random.Random
    sender: CrashedSender
    claimed: list[ClaimedEntry] = field(default_factory=list)
    settled: list[Settlement] = field(default_factory=list)
    statuses: dict[UUID, tuple[Status, int]] = field(default_factory=dict)
    events: set[UUID] = field(default_factory=set)

    def round(self) -> list[Callable[[], Awaitable[None]]]:
        """Return all steps in random order."""
        once = [self.kill, self.prove, self.listen]
        often = [self.submit, self.claim, self.ask, self.hear, self.settle]
        return self.draw.sample([*once, *often, *often, self.settle, self.settle], 15)

    async def submit(self) -> None:
        """Submit one mail with a copy, or a batch; some to a suppressed address."""
        client = self._client()
        # New addresses each time: an address that bounced is suppressed, and soon nothing would be sent.
        people = [f"user{number}" for number in self.draw.sample(range(1000), 4)]
        to = [f"{name}@example.com" for name in self.draw.sample([*people, "barred"], 3)]
        if self.draw.random() < 0.6:
            items = [WELCOME | {"to": address} for address in to]
            assert (await client.post("/v1/notifications/batch", json={"notifications": items})).status_code == 202
        else:
            await api_caller.submit_mail(client, to[0], cc=self.draw.choice(([], [to[1]])))
        await client.post("/v1/suppressions", json={"address": "barred@example.com", "scope": "all"})

    async def claim(self) -> None:
        """Claim whatever is ready."""
        await api_caller.make_due(self.parts.database)
        rows = await self.sender.claim()
        if rows and self.draw.random() < 0.5:
            await self.sender.mark(rows)
        self.claimed += rows

    async def settle(self) -> None:
        """Settle some of the claimed entries with a random outcome."""
        if not self.claimed:
            await self.claim()
        self.draw.shuffle(self.claimed)
        batch, self.claimed = self.claimed[:3], self.claimed[3:]
        async with self.parts.database.write() as connection:
            known = await delivery_loader.load_deliveries(connection, {entry.subject_id for entry in batch})
            ends = [
                settlement_decision.decide_settlement(e, known[e.subject_id], self._verdict(), self._circumstances())
                for e in batch
            ]
            await self._write(connection, ends)
        self.settled += ends

    async def prove(self) -> None:
        """Settle an old or unsettled entry as accepted by the relay."""
        if not self.settled:
            return
        entry = self.draw.choice(self.settled).entry
        async with self.parts.database.write() as connection:
            known = await delivery_loader.load_deliveries(connection, {entry.subject_id})
            end = settlement_decision.decide_settlement(
                entry, known[entry.subject_id], self._tried(_OUTCOMES[0]), self._circumstances()
            )
            await entry_store.delete_proven(connection, [entry])
            await settlement_writer.write_settlements(connection, [end])

    async def kill(self) -> None:
        """Kill the sender with all its claims, and start another one."""
        dead = LeaseSelection(kind=EntryKind.EMAIL, holder=self.sender.boot_id)
        async with self.parts.database.write() as connection:
            lost = await entry_store.lock_lost_claims(connection, dead)
            await self._write(connection, await settlement_writer.recover_lost(connection, lost, self._circumstances()))
            await entry_store.rescue_unmarked(connection, dead)
        self.sender.die()
        self.sender = CrashedSender(self.parts.database, self.installation.settings.data_dir / "journal")
        self.claimed = (
            self.claimed if self.draw.random() < 0.5 else []
        )  # some senders continue later, with an old fence

    async def ask(self) -> None:
        """Request a change as a caller, whether it is allowed or not."""
        if not self.statuses:
            return
        waiting = [id_ for id_, (status, _) in self.statuses.items() if status is Status.QUEUED]
        notification_id = self.draw.choice(waiting if waiting and self.draw.random() < 0.5 else list(self.statuses))
        path = f"/v1/notifications/{notification_id}"
        what, body = self.draw.choice(
            [
                *(("cancel", {}) for _ in range(3)),
                ("retry", {}),
                ("retry", {}),
                *(("resolve", {"as": how}) for how in ("sent", "failed", "resend")),
            ]
        )
        for client in self.clients.values():
            assert (await client.post(f"{path}/{what}", json=body)).status_code in (200, 404, 409)

    async def hear(self) -> None:
        """Apply feedback to some notifications."""
        if self.statuses:
            to = self.draw.choice((Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED))
            about = self.draw.sample(list(self.statuses), min(4, len(self.statuses)))
            async with self.parts.database.write() as connection:
                steps = [StatusChange(notification_id=id_, to=to, at=datetime.now(UTC)) for id_ in about]
                await apply_status_changes(connection, steps, TransitionCause.FEEDBACK)

    async def listen(self) -> None:
        """Switch the shop's endpoint off, or on again."""
        off = datetime.now(UTC) if await _listening(self) else None
        async with self.parts.database.write() as connection:
            await connection.execute(update(WebhookEndpoint).values(disabled_at=off))

    def before(self, id_: UUID) -> Status:
        """Return the notification's status before the step."""
        return self.statuses.get(id_, (Status.QUEUED, 0))[0]

    def _client(self) -> httpx2.AsyncClient:
        return self.clients[self.draw.choice(("shop", "other", "shop"))]

    async def _write(self, connection: Any, ends: Sequence[Settlement]) -> None:
        settled = await entry_store.settle_entries(connection, ends)
        await settlement_writer.write_settlements(connection, settled)

    def _verdict(self) -> delivery_result.DeliveryResult:
        stopped = delivery_result.EarlyStop(status=Status.SUPPRESSED, reason=Reason.RECIPIENT_SUPPRESSED, detail="")
        expired = delivery_result.EarlyStop(status=Status.EXPIRED, reason=Reason.EXPIRED, detail="")
        abandoned = delivery_result.LostAttempt(marked_at=datetime.now(UTC))
        others: list[delivery_result.DeliveryResult] = [
            stopped,
            expired,
            abandoned,
            delivery_result.CodeFault(fingerprint="x", detail="x"),
            delivery_result.NotBegun(),
            delivery_result.UnwritableResult(),
        ]
        return self.draw.choice([*(self._tried(outcome) for outcome in _OUTCOMES), *others])

    def _tried(self, outcome: Any) -> delivery_result.RelayAttempt:
        return delivery_result.RelayAttempt(
            outcome=outcome, relay="r", started_at=datetime.now(UTC), seconds=0.1, sha256=b"1" * 32
        )

    def _circumstances(self) -> delivery_result.SettlementContext:
        hour = timedelta(hours=1)
        return delivery_result.SettlementContext(now=datetime.now(UTC), jitter=0.5, resend_after=hour, sender_wait=hour)


@pytest.fixture(params=SEEDS)
async def walk(
    request: pytest.FixtureRequest, installation: Installation, parts: wiring.ProcessParts
) -> AsyncIterator[Walk]:
    """Provide two services, of which the first has an endpoint."""
    async with parts.database.write() as connection:
        services = {await service_admin.find_service(connection, name): name for name in ("shop", "other")}
        create, now = key_admin.create_live_key, parts.clock.now()
        every = {name: await create(connection, id_, scopes=list(KeyScope), now=now) for id_, name in services.items()}
    async with (
        installation.open_client(parts, every["shop"]) as shop,
        installation.open_client(parts, every["other"]) as other,
    ):
        reply = await shop.post("/v1/webhooks", json={"url": "https://hooks.example.com/x"})
        assert reply.status_code == 201, reply.text
        yield Walk(
            parts=parts,
            installation=installation,
            clients={"shop": shop, "other": other},
            services=services,
            draw=random.Random(request.param),
            sender=CrashedSender(parts.database, installation.settings.data_dir / "journal"),
        )


@pytest.mark.timeout(1800 if ROUNDS > 100 else 60)
async def test_the_index_and_the_events_follow_any_walk(walk: Walk) -> None:
    """After each step the index equals the statuses, queued mails have entries, and endpoints get the events."""
    seen: set[Status] = set()
    steps_with_changes: Counter[bool] = Counter()
    rounds = (walk.round() for number in range(MAX_ROUNDS) if number < ROUNDS or seen < set(Status))
    for step in chain.from_iterable(rounds):
        listening = await _listening(walk)
        await step()
        async with walk.parts.database.read() as connection:
            rows = (
                await connection.execute(select(_n.id, _n.service_id, _n.status, _n.sequence).order_by(_n.id))
            ).all()
            listed = (
                await connection.execute(select(_listed.notification_id, _listed.service_id, _listed.status))
            ).all()
            events = (await connection.execute(select(WebhookEvent))).mappings().all()
            entries = (
                await connection.execute(select(_entry.subject_id).where(_entry.kind == EntryKind.WEBHOOK))
            ).scalars()
            subjects = Counter(entries)
        assert {tuple(row) for row in listed} == {
            (id_, service, status) for id_, service, status, _ in rows if status not in (Status.QUEUED, Status.SENT)
        }, step
        await _assert_queued_have_entries(walk, rows)
        fresh = [event for event in events if event["id"] not in walk.events]
        if listening == await _listening(walk):  # the endpoint was not switched in this step
            assert {event["service_id"] for event in fresh} <= listening
            _assert_changes_have_events(walk, rows, fresh, listening)
        if any(status is not walk.before(id_) for id_, _, status, _ in rows):
            steps_with_changes[bool(listening)] += 1
        assert subjects == Counter(event["id"] for event in events)
        walk.events = {event["id"] for event in events}
        walk.statuses = {id_: (status, sequence) for id_, _, status, sequence in rows}
        seen |= {status for status, _ in walk.statuses.values()}
    assert seen == set(Status)
    assert min(steps_with_changes[True], steps_with_changes[False]) > 3


async def _listening(walk: Walk) -> set[UUID]:
    """Return the services with an endpoint that is not switched off."""
    async with walk.parts.database.read() as connection:
        rows = await connection.execute(select(_endpoint.service_id).where(_endpoint.disabled_at.is_(None)))
        return set(rows.scalars())


async def _assert_queued_have_entries(walk: Walk, rows: Sequence[Any]) -> None:
    """Assert that the queued notifications are those with an entry."""
    query = NotificationFilter(status=Status.QUEUED, copies=True)
    for service in walk.services:
        async with walk.parts.database.read() as connection:
            page = await notification_search.search_notifications(
                connection, service, query, PageRequest(limit=5000, max_rows=5000), now=datetime.now(UTC)
            )
        assert {view.id for view in page.views} == {
            id_ for id_, of, status, _ in rows if (of, status) == (service, Status.QUEUED)
        }


def _assert_changes_have_events(walk: Walk, rows: Sequence[Any], fresh: Sequence[Any], listening: set[UUID]) -> None:
    """Assert that each change of a service with an endpoint has an event with its newest status."""
    events = {(event["notification_id"], event["sequence"], event["type"]) for event in fresh}
    for id_, service, status, sequence in rows:
        if service in listening and status is not walk.before(id_):
            assert (id_, sequence, f"notification.{status}") in events
