"""Random replies to several mails on a connection: each outcome is one that the replies allow.

`NOTIFIER_CHAOS=long` runs 50,000 connections instead of 2,000, with more than 100,000 sequences of replies.
"""

import asyncio
import os
import random
import socket

import pytest
from support.body_permit import grant_permit
from support.cutting_relay import session_on
from support.random_relay_script import MailScript, RandomRelayProtocol, draw_script

from notifier.outcomes import Accepted, Deferred, Outcome, Rejected, SmtpPhase, Uncertain
from notifier.smtp.line_protocol import RelayFeatures
from notifier.smtp.mail_transaction import DroppedConnection, OutgoingMail

COUNT = 50_000 if os.environ.get("NOTIFIER_CHAOS") == "long" else 2000
SHARES = 8
MAILS = 3
PHASES = {"MAIL": SmtpPhase.MAIL, "RCPT": SmtpPhase.RCPT, "DATA": SmtpPhase.DATA, "DOT": SmtpPhase.BODY}


def expected(script: MailScript) -> tuple[type[object], str, SmtpPhase | None]:
    """Return the type, text and phase of the outcome for correct replies."""
    for command, phase in PHASES.items():
        said = script.said[command]
        if 400 <= said.code < 600:
            return (Deferred if said.code < 500 else Rejected), said.text, phase
    return Accepted, script.said["DOT"].text, None


def check(script: MailScript, outcome: Outcome | DroppedConnection, body: bytes) -> None:
    """Compare the outcome with the relay's own record."""
    dot = script.said["DOT"]
    accepted_by_relay = script.body == body and "DOT" in script.given and dot.whole and dot.code == 250
    reply = getattr(outcome, "reply", None)
    if reply is not None:
        assert script.tag in reply.text.split(), "another mail's reply"
    if isinstance(outcome, Accepted):
        assert accepted_by_relay
        assert outcome.reply.text == dot.text
    elif accepted_by_relay:  # then only an extra reply before the dot can have made it uncertain
        assert isinstance(outcome, Uncertain)
        assert script.trouble == "extra"
        assert script.troubled != "DOT"
    elif script.body == body:
        assert isinstance(outcome, Uncertain | DroppedConnection | Deferred | Rejected)
        refused = dot.whole and 400 <= dot.code < 600
        assert isinstance(outcome, Uncertain) or refused, "surely unsent, and the relay had it without refusing"
    if script.trouble is None:
        kind, text, phase = expected(script)
        assert isinstance(outcome, kind)
        assert reply is not None
        assert reply.text == text
        assert phase is None or getattr(outcome, "phase", None) is phase


async def run(seed: int) -> int:
    """Send mails on one connection while it is usable, and return their number."""
    rng = random.Random(seed)
    pipelining = rng.random() < 0.5
    scripts = [draw_script(rng, f"{seed}.{number}") for number in range(MAILS)]
    relay = RandomRelayProtocol(rng, scripts)
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: relay, sock=theirs)
    session = await session_on(ours, RelayFeatures(pipelining=pipelining))
    sent = 0
    for drawn in scripts:
        sent += 1
        body = f"Subject: {drawn.tag}".encode()
        mail = OutgoingMail(sender="a@example.com", recipient="b@example.com", data=body + b"\r\n")
        outcome = await session.send(mail, seconds=60, before_body=grant_permit)
        try:
            check(drawn, outcome, body)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {pipelining=}: {outcome} after {drawn}") from error
        await relay.quiet.wait()
        await asyncio.sleep(0)  # let the last bytes arrive
        await asyncio.sleep(0)
        if not session.is_usable:
            break
        assert drawn.trouble is None or drawn.troubled not in drawn.given or drawn.trouble == "extra", (seed, drawn)
    session.abort()
    transport.abort()
    await asyncio.sleep(0)
    return sent


@pytest.mark.parametrize("share", range(SHARES))
async def test_random_replies(share: int) -> None:
    """B8, B9: an accepted mail has the reply to its own dot, and no mail gets another's reply."""
    mails = 0
    for seed in range(share, COUNT, SHARES):
        mails += await run(seed)
    assert mails > 2 * COUNT / SHARES
