"""Random replies to mostly announced mails: each outcome is one that the replies allow.

`NOTIFIER_CHAOS=long` sends 80,000 mails instead of 3,200.
"""

import asyncio
import os
import random
import time

import pytest
from support.body_permit import grant_permit
from support.random_relay import RandomRelay
from support.random_relay_script import MailScript, draw_script

from notifier.outcomes import Accepted, Deferred, Outcome, Rejected, Uncertain
from notifier.smtp.mail_transaction import DroppedConnection, OutgoingMail, SmtpTransaction
from notifier.smtp.session_pool import SessionPool
from notifier.smtp_settings import SmtpSettings

ROUNDS = 10_000 if os.environ.get("NOTIFIER_CHAOS") == "long" else 400
SHARES = 4
MAILS = 8  # in a round, for one or two connections
ENVELOPE = ("MAIL", "RCPT", "DATA")


def refuses(script: MailScript, command: str) -> bool:
    """Return whether the reply to the command is a refusal."""
    return 400 <= script.said[command].code < 600


def check(
    script: MailScript, outcome: Outcome | DroppedConnection, company: list[MailScript], *, announced: bool
) -> None:
    """Compare the outcome with the relay's own record; `company` are all mails of its connection."""
    place = company.index(script) if script in company else 0
    before, after = company[:place], company[place + 1 :]
    dot = script.said["DOT"]
    has_it = script.body == script.tag.encode()
    accepted = has_it and "DOT" in script.given and dot.whole and dot.code == 250
    reply = getattr(outcome, "reply", None)
    if reply is not None:
        assert script.tag in reply.text.split(), "another mail's reply"
    if isinstance(outcome, Accepted):
        assert accepted
        assert outcome.reply.text == dot.text
    elif accepted:  # then the relay sent an unsolicited reply before
        assert isinstance(outcome, Uncertain)
        assert any(other.trouble == "extra" for other in (*before, script))
    elif has_it and not (dot.whole and 400 <= dot.code < 600):
        assert isinstance(outcome, Uncertain), "surely unsent, and the relay had it without refusing"
    elif not has_it:
        assert not isinstance(outcome, Accepted | Uncertain), "in doubt, and the relay had not all of it"
    spoiled = any(other.trouble is not None and other.troubled in other.given for other in before)
    odd = announced and refuses(script, "MAIL") and not (refuses(script, "RCPT") and refuses(script, "DATA"))
    # A refusal is not believed where what the announced mail was sent came with it, and was out of turn.
    doubted = refuses(script, "DOT") and any(other.trouble in {"garbage", "extra"} for other in after)
    if doubted and isinstance(outcome, Uncertain):
        return
    if script.trouble is None and not spoiled and not odd and script.given:
        command = next(filter(lambda command: refuses(script, command), (*ENVELOPE, "DOT")), "DOT")
        code = script.said[command].code
        assert isinstance(outcome, Accepted if code == 250 else Deferred if code < 500 else Rejected)
        assert outcome.reply is not None
        assert outcome.reply.text == script.said[command].text


async def run(relay: RandomRelay, seed: int) -> int:
    """Send mails over one or two connections, and return the number of announced ones."""
    relay.rng.seed(seed)
    pool = SessionPool(SmtpSettings(port=relay.port, max_connections=relay.rng.choice((1, 2))))
    tags = [f"m{seed}.{number}" for number in range(MAILS)]
    relay.scripts |= {tag: draw_script(relay.rng, tag) for tag in tags}

    async def send(tag: str) -> tuple[Outcome | DroppedConnection, bool]:
        mail = OutgoingMail(sender=f"{tag}@example.com", recipient="b@example.com", data=f"{tag}\r\n".encode())
        transaction = SmtpTransaction(mail, deadline=time.monotonic() + 5, before_body=grant_permit)
        async with pool.acquire(transaction=transaction) as session:
            session.last_seconds = 0.0
            return await session.run_transaction(transaction), transaction.is_announced

    async with asyncio.timeout(50):
        results = await asyncio.gather(*map(send, tags))
    assert (pool._users, len(pool._busy)) == (0, 0)
    await pool.close()
    for tag, (outcome, announced) in zip(tags, results, strict=True):
        drawn, company = relay.scripts.pop(tag), relay.company.pop(tag, [])
        try:
            check(drawn, outcome, company, announced=announced)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {announced=}: {outcome} after {drawn} among {company}") from error
    return sum(announced for _, announced in results)


@pytest.mark.parametrize("share", range(SHARES))
async def test_random_replies(share: int) -> None:
    """B8, B9: no announced mail gets another's reply, is accepted without its own, or uncertain without a cause."""
    announced = 0
    async with RandomRelay(random.Random(share)) as relay:
        for seed in range(share, ROUNDS, SHARES):
            announced += await run(relay, seed)
    assert announced > ROUNDS // SHARES * MAILS / 3
