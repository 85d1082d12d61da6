"""Cancel, retry and resolve at the same moment as a sender, a late reply or another operator."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import httpx2
import msgspec
import pytest
from integration.api.foreign_transaction import open_foreign_transaction
from support import api_caller, uncertain_mails
from support.crashed_sender import CrashedSender
from support.plain_handler import PlainHandler
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.db.direct_connections import StatementConnection
from notifier.delivery import delivery_result, settlement_writer
from notifier.delivery.delivery_result import RelayAttempt, SettlementContext
from notifier.outbox import entry_store
from notifier.outbox.entry_handler import ClaimedEntry, Settlement
from notifier.outbox.entry_store import LeaseSelection
from notifier.outbox.settler import write_settlements
from notifier.outcomes import Accepted, Outcome, RefusalKind, Rejected, SmtpPhase, SmtpReply
from notifier.runtime import wiring
from notifier.states import EntryKind, Status

RACES = 1000 if os.environ.get("NOTIFIER_CHAOS") == "long" else 60
AT_ONCE = 12
ROUNDS = 20
QUEUED = Accepted(reply=SmtpReply(code=250, enhanced="2.0.0", text="queued as 4711"))
NO = Rejected(phase=SmtpPhase.BODY, refused=RefusalKind.MESSAGE, reply=SmtpReply(code=554, enhanced="5.6.0", text="no"))


@pytest.fixture
async def client(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client with the shop's key."""
    async with installation.open_client(parts) as made:
        yield made


async def _code(client: httpx2.AsyncClient, path: str, what: str, **body: str) -> str:
    """Return the problem's code, or "" on success; repeat the request while a busy database answers 503."""
    reply = await client.post(f"{path}/{what}", json=body)
    if reply.status_code == 503:
        return await _code(client, path, what, **body)
    assert reply.status_code in {200, 409}, reply.text
    return "" if reply.status_code == 200 else str(reply.json()["code"])


# -- cancel and the sender -----------------------------------------------------------------------


@pytest.mark.timeout(600)
async def test_cancel_and_send_never_both(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A18: a mail cancelled before, during or after the claim is either cancelled and unsent, or sent once with 409."""
    codes: dict[str, str] = {}
    paths: dict[str, str] = {}

    async def race(number: int) -> None:
        to = f"user{number}@example.com"
        paths[to] = path = await api_caller.submit_mail(client, to)
        match number % 4:
            case 1:  # a sender is at work on others, and about to claim this one
                await relay.wait_for_commands("DATA", min(number, len(relay.received) + 1))
            case 2:  # claimed and being handed over; the mark is near
                await relay.wait_for_commands(f"RCPT TO:<{to}>", 1)
            case 3:  # the relay has it, and the sender may not have written that down yet
                await wait_until(lambda: any(mail.recipient == to for mail in relay.received))
        codes[to] = await _code(client, path, "cancel")

    async with wiring.run_sender(parts):
        waiting = iter(range(RACES))

        async def racer() -> None:
            for number in waiting:
                await race(number)

        await asyncio.gather(*(racer() for _ in range(AT_ONCE)))
        ended = {
            to: (await api_caller.wait_for_status(client, path, "sent", "cancelled"))["status"]
            for to, path in paths.items()
        }
    print(f"\n{RACES} races: {dict(Counter(ended.values()))}, answers {dict(Counter(codes.values()))}")  # noqa: T201 - for who watches
    received = Counter(mail.recipient for mail in relay.received)
    assert received == Counter(to for to, status in ended.items() if status == "sent")
    assert {to for to, code in codes.items() if not code} == {to for to, s in ended.items() if s == "cancelled"}
    assert set(codes.values()) <= {"", "already_under_way", "already_ended"}
    assert min(Counter(ended.values())[status] for status in ("sent", "cancelled")) >= RACES // 10
    assert await api_caller.count_entries(parts.database) == 0


@pytest.mark.parametrize(
    ("what", "how", "becomes", "code"),
    [
        ("cancel", "", Status.SENT, "already_ended"),
        ("cancel", "", Status.UNKNOWN, "already_under_way"),
        ("resolve", "failed", Status.SENT, "not_unknown"),
        ("resolve", "resend", Status.SENT, "not_unknown"),
        ("resolve", "resend", Status.FAILED, "not_unknown"),  # a retry would be allowed from there
    ],
)
async def test_a_refused_change_gives_the_entry_back(
    postgres_installation: Installation, what: str, how: str, becomes: Status, code: str
) -> None:
    """If the status changes before the step, the removed entry is restored and nothing is written."""
    async with postgres_installation.open_parts() as parts, postgres_installation.open_client(parts) as client:
        path = await api_caller.submit_mail(client)
        if how:
            await api_caller.set_notification(parts.database, path, status=Status.UNKNOWN)
        before = await uncertain_mails.read_entry(parts.database, path)
        async with open_foreign_transaction(postgres_installation.settings) as other:
            await other.execute(
                f"SELECT 1 FROM outbox_entry WHERE subject_id = '{uncertain_mails.get_id(path)}' FOR UPDATE"
            )
            asking = asyncio.create_task(_code(client, path, what, **({"as": how} if how else {})))
            await other.wait_for_waiters()
            await other.execute(
                f"UPDATE notification SET status = '{becomes}' WHERE id = '{uncertain_mails.get_id(path)}'"
            )
            await other.commit()
            assert await asking == code
        after = await uncertain_mails.read_entry(parts.database, path)
        assert before is not None
        assert after is not None
        assert after.model_dump() == before.model_dump()
        assert (await uncertain_mails.read_notification(parts.database, path)).status is becomes
        assert await uncertain_mails.read_events(parts.database, path) == []


# -- two at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "what", "bodies", "codes"),
    [
        (Status.UNKNOWN, "resolve", ({"as": "sent"}, {"as": "resend"}), {"not_unknown", "already_under_way"}),
        (Status.UNKNOWN, "resolve", ({"as": "resend"}, {"as": "resend"}), {"not_unknown", "already_under_way"}),
        (Status.FAILED, "retry", ({}, {}), {"not_retryable", "already_under_way"}),
    ],
)
async def test_two_at_once_have_one_winner(
    parts: wiring.ProcessParts,
    client: httpx2.AsyncClient,
    status: Status,
    what: str,
    bodies: tuple[dict[str, str], dict[str, str]],
    codes: set[str],
) -> None:
    """Of two decisions at once one counts, with one event and at most one entry; the other gets 409."""
    for _ in range(ROUNDS):
        path = await api_caller.submit_mail(client)
        await api_caller.set_notification(parts.database, path, status=status)
        answers = await asyncio.gather(*(_code(client, path, what, **body) for body in bodies))
        assert sorted(code == "" for code in answers) == [False, True], answers
        assert set(answers) - {""} <= codes
        ((kind, _, detail),) = await uncertain_mails.read_events(parts.database, path)
        won = bodies[answers.index("")].get("as", "")
        assert (kind, detail) == ((f"{what}d", f"as {won}") if won else ("retried", ""))
        entry = await uncertain_mails.read_entry(parts.database, path)  # raises if there are two
        assert (entry is None) == (won == "sent")


async def test_cancelling_at_once_is_one_event(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """Several cancels at once all get 200 and write one event."""
    for _ in range(ROUNDS):
        path = await api_caller.submit_mail(client)
        codes = await asyncio.gather(*(_code(client, path, "cancel") for _ in range(3)))
        assert set(codes) == {""}
        assert len(await uncertain_mails.read_events(parts.database, path)) == 1


# -- replies that are found late ------------------------------------------------------------------


class Recorder(PlainHandler):
    """A handler that only records what the settlements of mails mean."""

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        await settlement_writer.write_settlements(connection, settled)


@dataclass
class Lost:
    """An unknown mail whose sender died after the permit, and whose reply may still be found."""

    parts: wiring.ProcessParts
    client: httpx2.AsyncClient
    path: str
    entry: ClaimedEntry

    async def heard(self, outcome: Outcome) -> None:
        """Settle the reply that was found in the dead sender's journal."""
        tried = RelayAttempt(
            outcome=outcome, relay="127.0.0.1", started_at=self.parts.clock.now(), seconds=0.25, sha256=b"\x01" * 32
        )
        note = msgspec.to_builtins(delivery_result.JournalRecord.from_attempt(tried, None))
        async with self.parts.database.write() as connection:
            settlements = await settlement_writer.replay_journal(
                connection, [(self.entry, note)], _settlement_context(self.parts)
            )
            await write_settlements(connection, Recorder(), settlements)


def _settlement_context(parts: wiring.ProcessParts) -> SettlementContext:
    return SettlementContext(
        now=parts.clock.now(), jitter=0.5, resend_after=timedelta(minutes=15), sender_wait=timedelta(0)
    )


@pytest.fixture
async def lost(installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> Lost:
    """Provide one mail whose sender died after the permit."""
    path = await api_caller.submit_mail(client, "bob@example.com")
    await api_caller.make_due(parts.database)  # by the database's clock, too
    sender = CrashedSender(parts.database, installation.settings.data_dir / "elsewhere")
    (entry,) = await sender.claim()
    await sender.mark([entry])
    sender.die()
    async with parts.database.write() as connection:
        dead = await entry_store.lock_lost_claims(
            connection, LeaseSelection(kind=EntryKind.EMAIL, holder=sender.boot_id)
        )
        await write_settlements(
            connection,
            Recorder(),
            await settlement_writer.recover_lost(connection, dead, _settlement_context(parts)),
        )
    assert (await client.get(path)).json()["status"] == "unknown"
    return Lost(parts, client, path, entry)


@pytest.mark.parametrize("how", ["sent", "failed", "resend"])
async def test_proof_after_the_decision_makes_it_sent(lost: Lost, relay: ScriptedRelay, how: str) -> None:
    """A 250 that is found after a person's decision makes the mail `sent`, and it is not sent again."""
    assert await _code(lost.client, lost.path, "resolve", **{"as": how}) == ""
    await lost.heard(QUEUED)
    notification = (await lost.client.get(lost.path)).json()
    assert (notification["status"], notification["detail"]) == (
        ("sent", "as sent") if how == "sent" else ("sent", str(QUEUED.reply))
    )
    async with wiring.run_sender(lost.parts):
        await api_caller.wait_for_status(
            lost.client, await api_caller.submit_mail(lost.client, "eve@example.com"), "sent"
        )
    assert [attempt["outcome"] for attempt in notification["attempts"]] == ["accepted"]
    assert notification["uncertain_at"] is not None
    assert [mail.recipient for mail in relay.received] == ["eve@example.com"]
    assert [kind for kind, _, _ in await uncertain_mails.read_events(lost.parts.database, lost.path)] == ["resolved"]
    assert await api_caller.count_entries(lost.parts.database) == 0


@pytest.mark.parametrize(("how", "status", "attempts"), [("sent", "sent", 1), ("failed", "failed", 1)])
async def test_a_no_after_the_decision_changes_nothing(lost: Lost, how: str, status: str, attempts: int) -> None:
    """A refusal of the lost attempt that is found after a person's decision changes nothing."""
    await _code(lost.client, lost.path, "resolve", **{"as": how})
    await lost.heard(NO)
    notification = (await lost.client.get(lost.path)).json()
    assert (notification["status"], notification["reason"], len(notification["attempts"])) == (
        status,
        "resolved",
        attempts,
    )


async def test_a_no_after_the_resend_was_ordered_leaves_it_its_entry(lost: Lost, relay: ScriptedRelay) -> None:
    """A late refusal of the old entry does not touch the new one, and the mail leaves once."""
    await _code(lost.client, lost.path, "resolve", **{"as": "resend"})
    await lost.heard(NO)
    async with wiring.run_sender(lost.parts):
        notification = await api_caller.wait_for_status(lost.client, lost.path, "sent")
    assert [attempt["outcome"] for attempt in notification["attempts"]] == ["uncertain", "accepted"]
    assert len(relay.received) == 1
