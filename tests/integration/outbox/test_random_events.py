"""Random sequences of events on the real databases, with a clock that the test sets, break no rule of the queue.

Three senders claim, mark, write bodies, read replies or none, are killed and come back; callers cancel and retry.
"""

import asyncio
import os
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select
from support.known_facts import ClaimFacts, MailFacts, SenderFacts
from support.queue_driver import OVERRUN, QueueDriver
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.db.tables import OutboxEntry, get_columns
from notifier.ids import generate_id
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import FinishEntry, HoldEntry, NewEntry, ReleaseEntry, RescheduleEntry, Settlement
from notifier.outbox.entry_store import LeaseSelection
from notifier.outbox.marker import FIRST_BYTE_SECONDS
from notifier.states import EntryKind, Priority

LONG = os.environ.get("NOTIFIER_CHAOS") == "long"
SENDERS = st.integers(0, 2)
PICK = st.integers(0, 1_000_000)
SERVICE = generate_id()
SUBJECTS = select(get_columns(OutboxEntry).subject_id)


class Machine(RuleBasedStateMachine):
    """The senders, the callers and the database between them."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[Database]

    @initialize()
    def begin(self) -> None:
        self.queue = QueueDriver(self.database)
        self.mails: dict[UUID, MailFacts] = {}
        self.senders = [SenderFacts() for _ in range(3)]
        self.journals: list[ClaimFacts] = []
        self.run(self._empty())

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(doing)

    # -- callers ----------------------------------------------------------------------------------

    @rule()
    def enqueue(self) -> None:
        mail = MailFacts(generate_id())
        self.mails[mail.subject_id] = mail
        self.run(self._enqueue(mail))

    @rule(number=PICK)
    def cancel(self, number: int) -> None:
        mail = self._mail(number, "waiting")
        if mail is not None and self.run(self._withdraw(mail)):
            mail.status = "cancelled"

    @rule(number=PICK)
    def retry(self, number: int) -> None:
        if (mail := self._mail(number, "failed")) is not None:
            mail.status = "waiting"
            self.run(self._enqueue(mail))

    @rule(number=PICK)
    def resolve(self, number: int) -> None:
        mail = self._mail(number, "unknown")
        if mail is not None and self.run(self._withdraw(mail)):
            mail.status = "waiting"
            self.run(self._enqueue(mail))

    # -- senders ----------------------------------------------------------------------------------

    @rule(who=SENDERS, room=st.integers(1, 4))
    def claim(self, who: int, room: int) -> None:
        sender = self.senders[who]
        self.queue.holder = sender.boot_id
        for entry in self.run(self.queue.claim(room)):
            mail = self.mails[entry.subject_id]
            sender.work.append(ClaimFacts(entry, mail, uncertain_before=mail.was_unknown))

    @rule(who=SENDERS, number=PICK)
    def mark(self, who: int, number: int) -> None:
        sender = self.senders[who]
        if (work := sender.pick(number, "claimed")) is None:
            return
        self.queue.holder = sender.boot_id
        permitted = work.mail.status in ("waiting", "unknown")
        if permitted and self.run(self.queue.mark(work.entry)):
            work.stage, work.marked_at = "marked", self.queue.now
        else:
            sender.work.remove(work)

    @rule(who=SENDERS, number=PICK)
    def body(self, who: int, number: int) -> None:
        if (work := self.senders[who].pick(number, "marked")) is None:
            return
        if self.queue.now - work.marked_at > timedelta(seconds=FIRST_BYTE_SECONDS):
            self._settle(who, work, ReleaseEntry())
            return
        mail = work.mail
        assert not mail.maybe_taken or mail.was_unknown, "a second body, silently"
        assert mail.status != "cancelled", "a body after the cancel"
        row = self.run(self.queue.row(work.entry.id))
        assert row is not None
        assert (row.state, row.lease_no) == ("leased", work.entry.lease_no), "a body after the rescue"
        mail.maybe_taken, work.stage = True, "body"

    @rule(who=SENDERS, number=PICK, stage=st.sampled_from(["heard", "refused", "silent"]))
    def reply(self, who: int, number: int, stage: str) -> None:
        if (work := self.senders[who].pick(number, "body")) is not None:
            work.stage = stage
            if stage == "refused" and not work.uncertain_before:
                work.mail.maybe_taken = False

    @rule(who=SENDERS, number=PICK, final=st.booleans())
    def settle(self, who: int, number: int, *, final: bool) -> None:
        work = self.senders[who].pick(number, "claimed", "heard", "refused", "silent")
        if work is None:
            return
        if work.stage == "heard":
            self._settle(who, work, FinishEntry())
        elif work.stage == "claimed":
            self._settle(who, work, ReleaseEntry())
        elif work.stage == "refused":
            again = RescheduleEntry(delay=timedelta(minutes=1), attempts=1)
            if self._settle(who, work, FinishEntry() if final else again) and not work.uncertain_before:
                self._becomes(work.mail, "failed" if final else "waiting")
        else:
            action = (
                HoldEntry(delay=timedelta(hours=72))
                if work.uncertain_before
                else RescheduleEntry(delay=timedelta(minutes=15), attempts=1)
            )
            if self._settle(who, work, action):
                self._uncertain(work.mail)

    @rule(who=SENDERS)
    def kill(self, who: int) -> None:
        self.journals += [work for work in self.senders[who].work if work.stage in ("heard", "refused")]
        dead = self.senders[who].boot_id
        self.senders[who] = SenderFacts()
        self.run(self._rescue_after_replay(LeaseSelection(kind=EntryKind.EMAIL, holder=dead)))

    @precondition(lambda self: self.journals)
    @rule()
    def find_a_journal_again(self) -> None:
        """Read journal lines again that were already read, which must change nothing."""
        for work in self.journals:
            if work.stage == "heard":
                self.run(self._prove(work))

    @rule()
    def rescue(self) -> None:
        self.run(self._rescue_after_replay(OVERRUN))

    @rule(seconds=st.sampled_from([1, 11, 61, 301, 1201]))
    def later(self, seconds: int) -> None:
        self.queue.later(seconds=seconds)

    # -- promises ---------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost(self) -> None:
        """Assert that each waiting mail has an entry."""
        if hasattr(self, "mails"):
            have = self.run(self._subjects())
            for mail in self.mails.values():
                assert mail.status not in ("waiting", "unknown") or mail.subject_id in have

    # -- how --------------------------------------------------------------------------------------

    def _mail(self, number: int, status: str) -> MailFacts | None:
        mails = [mail for mail in self.mails.values() if mail.status == status]
        return mails[number % len(mails)] if mails else None

    def _becomes(self, mail: MailFacts, status: str) -> None:
        if mail.status in ("waiting", "unknown"):
            mail.status = status

    def _uncertain(self, mail: MailFacts) -> None:
        if mail.status in ("waiting", "unknown"):
            mail.status, mail.was_unknown = "unknown", True

    def _settle(self, who: int, work: ClaimFacts, action: Any) -> bool:
        """Settle the work; return whether the fence was still valid."""
        self.senders[who].work.remove(work)
        held = bool(self.run(self.queue.settle(Settlement(entry=work.entry, action=action))))
        if work.stage == "heard":
            self.run(self._prove(work))
        return held

    async def _prove(self, work: ClaimFacts) -> None:
        async with self.database.write() as connection:
            await entry_store.delete_proven(connection, [work.entry])
        work.mail.status = "sent"

    async def _rescue_after_replay(self, selection: LeaseSelection) -> None:
        for work in self.journals:
            settlement = Settlement(entry=work.entry, action=FinishEntry())
            if selection.holder is not None and work.stage == "heard":
                await self.queue.settle(settlement)
                await self._prove(work)
            elif selection.holder is not None and await self.queue.settle(settlement) and not work.uncertain_before:
                self._becomes(work.mail, "failed")
        if selection.holder is not None:
            self.journals = [work for work in self.journals if work.stage == "heard"]
        lost = await self.queue.lost(selection)
        again = [RescheduleEntry(delay=timedelta(minutes=15), attempts=claim.entry.attempts + 1) for claim in lost]
        pairs = zip(lost, again, strict=True)
        for settled in await self.queue.settle(
            *(Settlement(entry=claim.entry, action=action) for claim, action in pairs)
        ):
            self._uncertain(self.mails[settled.entry.subject_id])
        await self.queue.rescue(selection)

    async def _enqueue(self, mail: MailFacts) -> None:
        entry = NewEntry(
            id=generate_id(),
            kind=EntryKind.EMAIL,
            subject_id=mail.subject_id,
            service_id=SERVICE,
            priority=Priority.NORMAL,
            due_at=self.queue.now,
        )
        async with self.database.write() as connection:
            await entry_store.enqueue_entries(connection, [entry])

    async def _withdraw(self, mail: MailFacts) -> bool:
        async with self.database.write() as connection:
            return await entry_store.withdraw_entry(connection, SERVICE, mail.subject_id)

    async def _subjects(self) -> set[UUID]:
        async with self.database.read() as connection:
            return set((await connection.execute(SUBJECTS)).scalars())

    async def _empty(self) -> None:
        async with self.database.write() as connection:
            await connection.execute(delete(OutboxEntry))


@pytest.mark.timeout(1800 if LONG else 120)
def test_anything_in_any_order(installation: Installation) -> None:
    """Claims, marks, replies, kills, rescues, cancels and retries in any order break no rule."""
    with asyncio.Runner() as runner:
        database = Database(installation.settings.effective_database_url)
        machine = type("Bound", (Machine,), {"runner": runner, "database": database})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=400 if LONG else 25,
                stateful_step_count=60 if LONG else 40,
                deadline=None,
                derandomize=not LONG,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        runner.run(database.close())
