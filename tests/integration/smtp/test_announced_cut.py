"""Two mails on one connection, the second announced, cut at every byte: none is lost or sent twice without doubt.

`NOTIFIER_CHAOS=long` also cuts pairs with a body of more than one slice.
"""

import asyncio
import os
import socket
from collections import Counter

import pytest
from support.body_permit import grant_permit
from support.cutting_relay import BUFFER, Cut
from support.pair_cutting_relay import SAID, PairCuttingRelay, Track

from notifier.outcomes import Accepted, Outcome, Uncertain
from notifier.smtp.mail_transaction import SLICE_BYTES, OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings

LONG = os.environ.get("NOTIFIER_CHAOS") == "long"
SMALL = b"Subject: Hi\r\n\r\nHi\r\n"
LARGE = b"Subject: Hi\r\n\r\n" + b"x" * SLICE_BYTES + b"\r\n"
ANN, BEN = (
    OutgoingMail(sender=f"{name}@a.example", recipient=f"{name}@b.example", data=SMALL) for name in ("ann", "ben")
)
LARGE_ANN, LARGE_BEN = (OutgoingMail(sender=mail.sender, recipient=mail.recipient, data=LARGE) for mail in (ANN, BEN))
Pair = tuple[OutgoingMail, OutgoingMail]
ENVELOPE = len(b"MAIL FROM:<ann@a.example>\r\nRCPT TO:<ann@b.example>\r\nDATA\r\n")
both_ends = pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
KINDS = [
    pytest.param((ANN, BEN), True, id="the first waits"),
    pytest.param((ANN, BEN), False, id="the first is answered"),
    pytest.param((ANN, LARGE_BEN), True, id="large second, the first waits"),
    pytest.param((ANN, LARGE_BEN), False, id="large second, the first is answered"),
    pytest.param((LARGE_ANN, BEN), False, id="large first"),  # it may not be taken whole, so there is no wait
]
pairs = pytest.mark.parametrize(("mails", "patient"), KINDS if LONG else KINDS[:2])


def length(mail: OutgoingMail) -> int:
    """Return the number of bytes of the mail's whole transaction."""
    return ENVELOPE + len(mail.data) + len(b".\r\n")


async def attempt(cutter: PairCuttingRelay, mails: Pair, cut: Cut, *, patient: bool) -> list[type[Outcome]]:
    """Send both mails over one connection that is cut, judge the outcomes and return their types."""
    transport = SmtpTransport(SmtpSettings(port=cutter.port, max_connections=1))
    cutter.begin(cut, patient=patient)
    async with transport._pool.acquire() as session:
        session.last_seconds = 0.0
        ours: socket.socket = session._protocol._transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        room = 2 * ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    async with asyncio.timeout(50):
        outcomes = await asyncio.gather(*(transport.send(mail, seconds=10, before_body=grant_permit) for mail in mails))
    await transport.close()
    again = await cutter.quiet()
    for number, (mail, outcome) in enumerate(zip(mails, outcomes, strict=True), start=1):
        to_come = sum(map(length, mails[:number])) - cutter.tracks[0].heard
        try:
            judge(mail, outcome, cutter.tracks[0], again, fits=to_come <= room)
        except AssertionError as error:
            raise AssertionError(f"{cut}, {patient=}: {mail.sender}: {outcome}; {cutter.tracks}") from error
    return [type(outcome) for outcome in outcomes]


def judge(mail: OutgoingMail, outcome: Outcome, track: Track, again: Counter[str], *, fits: bool) -> None:
    """Assert that the mail is accepted if answered, uncertain if its dot was read, and sent again if surely unsent."""
    sender = mail.sender
    if track.answered(sender):
        assert (type(outcome), again[sender]) == (Accepted, 0)
    elif sender in track.dots:
        assert (type(outcome), again[sender]) == (Uncertain, 0)
    elif not track.permitted(sender) or not fits:
        assert (type(outcome), again[sender]) == (Accepted, 1)
    else:
        assert (type(outcome), again[sender]) in {(Accepted, 1), (Uncertain, 0)}


@both_ends
@pairs
async def test_replies_cut_at_every_byte(mails: Pair, *, patient: bool, reset: bool) -> None:
    """B6, B7: the relay disconnects within its replies; an incomplete reply counts as none."""
    outcomes = Counter[tuple[type[Outcome], ...]]()
    async with PairCuttingRelay() as cutter:
        for said in range(1, SAID + 1):
            outcomes[tuple(await attempt(cutter, mails, Cut(said=said, reset=reset), patient=patient))] += 1
    assert set(outcomes) == {(Accepted, Accepted), (Uncertain, Accepted), (Accepted, Uncertain)}


@both_ends
@pairs
async def test_commands_and_bodies_cut_at_every_byte(mails: Pair, *, patient: bool, reset: bool) -> None:
    """B6, B7, B10: the relay disconnects while it reads; never are both uncertain or one sent twice."""
    outcomes = Counter[tuple[type[Outcome], ...]]()
    total = sum(map(length, mails))
    step = 1 if total < SLICE_BYTES else 97
    async with PairCuttingRelay() as cutter:
        for heard in sorted({*range(1, total + 1, step), *range(1, 300), *range(max(total - 300, 1), total + 1)}):
            if heard <= total:
                outcomes[tuple(await attempt(cutter, mails, Cut(heard=heard, reset=reset), patient=patient))] += 1
    assert set(outcomes) == {(Accepted, Accepted), (Uncertain, Accepted), (Accepted, Uncertain)}
