"""One transaction, cut at every byte: unsent means not received, and what is surely unsent is never uncertain.

`NOTIFIER_CHAOS=long` cuts at every byte of the body.
"""

import asyncio
import itertools
import os
import socket
from dataclasses import replace

import pytest
from support.body_permit import build_permit, grant_permit, grant_until
from support.cutting_relay import REPLIES, SAID, Cut, CuttingRelay, RelayRecord, serve, session_on

from notifier.outbox.entry_handler import BodyPermit
from notifier.outcomes import Accepted, Outcome, SmtpReply, Uncertain
from notifier.smtp.line_protocol import RelayFeatures
from notifier.smtp.mail_transaction import DroppedConnection, OutgoingMail

LONG = os.environ.get("NOTIFIER_CHAOS") == "long"
BODY = b"Subject: Hi\r\n\r\n" + b"x" * 80 * 1024 + b"\r\n"
MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=BODY)
SMALL = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=b"Subject: Hi\r\n\r\nHello\r\n")
ENVELOPE = len(b"MAIL FROM:<shop@shop.example>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n")
SENT = Accepted(reply=SmtpReply(code=250, enhanced="2.0.0", text="queued"))
CutResult = tuple[Outcome | DroppedConnection, RelayRecord, int]
both_ways = pytest.mark.parametrize("pipelining", [False, True], ids=["step by step", "pipelined"])


async def attempt(cutter: CuttingRelay, mail: OutgoingMail, cut: Cut, *, pipelining: bool) -> CutResult:
    """Return the session's outcome, the relay's record, and the bytes that may be in between."""
    session, theirs, room = await cutter.connect(pipelining=pipelining)
    served = asyncio.create_task(serve(theirs, cut))
    outcome = await session.send(mail, seconds=10, before_body=grant_permit)
    session.abort()
    return outcome, await served, room


def judge(mail: OutgoingMail, result: CutResult) -> None:
    """Assert: uncertain after the dot, unsent if our socket has not taken all, otherwise either."""
    outcome, seen, room = result
    total = ENVELOPE + len(mail.data) + len(b".\r\n")
    if seen.answered:
        assert outcome == SENT, (outcome, seen)
    elif seen.had_dot:
        assert isinstance(outcome, Uncertain), (outcome, seen)
    elif total - seen.heard > room:  # the rest did not fit into any buffer, so our socket has not taken it
        assert isinstance(outcome, DroppedConnection), (outcome, seen)
    else:
        assert isinstance(outcome, DroppedConnection | Uncertain), (outcome, seen)


def places(mail: OutgoingMail) -> list[int]:
    """Return each byte of the envelope and around the final dot, and all or some of the body."""
    total = ENVELOPE + len(mail.data) + len(b".\r\n")
    inner = range(ENVELOPE + 16, total - 16, 1 if LONG else 499)
    return [*range(1, ENVELOPE + 16), *inner, *range(total - 16, total + 1)]


@both_ways
@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
@pytest.mark.parametrize("mail", [MAIL, SMALL], ids=["large", "small"])
async def test_replies_cut_at_every_byte(mail: OutgoingMail, *, reset: bool, pipelining: bool) -> None:
    """B6, B7: the relay disconnects within its replies; an incomplete reply counts as none."""
    kinds = []
    async with CuttingRelay() as cutter:
        for said in range(SAID + 1):
            result = await attempt(cutter, mail, Cut(said=said, reset=reset), pipelining=pipelining)
            judge(mail, result)
            kinds.append(type(result[0]))
            if said < sum(map(len, REPLIES.values())) - 1:  # before the end of 354 there is nothing to doubt
                assert isinstance(result[0], DroppedConnection)
    assert kinds[-1] is Accepted
    assert Uncertain in kinds


@both_ways
@pytest.mark.parametrize("mail", [MAIL, SMALL], ids=["large", "small"])
async def test_commands_and_body_cut_at_every_byte(mail: OutgoingMail, *, pipelining: bool) -> None:
    """B6, B7, B10: the relay resets while it reads; a mail is uncertain once our socket has taken all of it."""
    kinds = []
    async with CuttingRelay() as cutter:
        for heard in places(mail):
            result = await attempt(cutter, mail, Cut(heard=heard), pipelining=pipelining)
            judge(mail, result)
            kinds.append(type(result[0]))
    assert kinds[:ENVELOPE] == [DroppedConnection] * ENVELOPE
    assert kinds[-1] is Uncertain


@both_ways
async def test_a_lost_connection_asks_for_no_permit(*, pipelining: bool) -> None:
    """B11: no permit is requested on a lost connection, and without a reply no attempt is used."""

    async def ask() -> None:
        raise AssertionError

    async with CuttingRelay() as cutter:
        session, theirs, _ = await cutter.connect(pipelining=pipelining)
        session.abort()
        assert not session.is_usable
        outcome = await session.send(SMALL, seconds=60, before_body=ask)
        theirs.close()
    assert isinstance(outcome, DroppedConnection)
    assert (outcome.is_attempt, outcome.detail) == (False, "stopped")


async def test_an_aborted_body_does_not_arrive_later() -> None:
    """B10: the buffered rest of a body is not sent, even if the relay keeps reading."""
    loop = asyncio.get_running_loop()
    async with CuttingRelay() as cutter:
        session, theirs, _ = await cutter.connect(pipelining=True)
        mail = OutgoingMail(sender=MAIL.sender, recipient=MAIL.recipient, data=b"x" * 60_000 + b"\r\n")  # one slice
        sending = asyncio.create_task(session.send(mail, seconds=60, before_body=grant_until(0.2)))
        assert len(await loop.sock_recv(theirs, ENVELOPE)) == ENVELOPE
        await loop.sock_sendall(theirs, b"".join(REPLIES.values()))
        assert isinstance(await sending, DroppedConnection)
        arrived = b""
        while data := await loop.sock_recv(theirs, 1 << 16):
            arrived += data
        theirs.close()
    assert 0 < len(arrived) < len(mail.data)
    assert b"\r\n.\r\n" not in arrived


async def test_a_last_slice_that_cannot_be_written_is_unsent() -> None:
    """A failed send passed nothing to the system, so the mail is not uncertain."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    session = await session_on(ours, RelayFeatures(pipelining=True))
    slices = itertools.count()

    def hang_up() -> bool:
        if next(slices) == 1:  # before the second and last one
            theirs.shutdown(socket.SHUT_RDWR)
        return True

    async def ask() -> BodyPermit:
        return replace(build_permit(), may_continue=hang_up)

    sending = asyncio.create_task(session.send(MAIL, seconds=60, before_body=ask))
    assert len(await loop.sock_recv(theirs, ENVELOPE)) == ENVELOPE
    await loop.sock_sendall(theirs, b"".join(REPLIES.values()))
    outcome = await sending
    assert isinstance(outcome, DroppedConnection)
    assert "Broken pipe" in outcome.detail
    theirs.close()
