"""What happens to an announced mail when the mail before it ends in any way, or does not end."""

import asyncio

import pytest
from support.announced_pair import ADA, BOB, CID, QUEUED, AnnouncedPair, turns
from support.body_permit import grant_permit, grant_until
from support.scripted_relay import DROP, HANG, ScriptedRelay

from notifier.outcomes import Accepted, Deferred, NotTried, Outcome, Rejected, Uncertain
from notifier.smtp.session_pool import AnnounceLimits

pytestmark = pytest.mark.parametrize("relay", [True], ids=["pipelined"], indirect=True)
THREE = "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go ahead"
FOREIGN = "550 5.1.1 for somebody else"


async def test_an_answer_about_an_address_is_not_the_dots(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """B7: if the relay skips the reply to the dot, the next reply is the second mail's, and the first is uncertain."""
    await pair.begin(reply="250 2.1.0 ok")
    first, second = await pair.end()
    assert isinstance(first, Uncertain)
    assert isinstance(second, Accepted)
    assert relay.connections == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [("450 4.2.0 later", Deferred), ("550 5.7.1 no", Rejected), ("250-2.0.0 and\r\n250 2.0.0 queued", Accepted)],
)
async def test_each_mail_hears_its_own_reply(
    pair: AnnouncedPair, relay: ScriptedRelay, reply: str, kind: type[Outcome]
) -> None:
    """B8: the reply to the dot is the first mail's, and the second continues on the same connection."""
    await pair.begin(reply=reply)
    first, second = await pair.end()
    assert isinstance(first, kind)
    assert str(getattr(first, "reply", None)).split()[0] == reply[:3]
    assert isinstance(second, Accepted)
    assert (relay.connections, pair.queue.times) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (DROP, Uncertain),
        ("garbage", Uncertain),
        ("354 go ahead", Uncertain),
        ("199 what", Uncertain),
        ("250-2.0.0 half\r\n550 of another", Uncertain),
        ("421 4.3.2 shutting down", Accepted),  # on a fresh connection
    ],
)
async def test_a_bad_end_costs_the_announced_mail_a_connection_and_nothing_else(
    pair: AnnouncedPair, relay: ScriptedRelay, reply: str, kind: type[Outcome]
) -> None:
    """B6, B7: the announced mail is tried again at once with a new permit, and accepted once."""
    await pair.begin(reply=reply)
    first, second = await pair.end()
    assert isinstance(first, kind)
    assert isinstance(second, Accepted)
    assert pair.received.count(BOB.recipient) == 1
    assert pair.queue.times == 2
    assert relay.connections == (3 if kind is Accepted else 2)


@pytest.mark.parametrize("then", [HANG, DROP])
@pytest.mark.parametrize("behind", [FOREIGN, "\r\n".join([FOREIGN] * 3)], ids=["one", "three"])
@pytest.mark.parametrize("reply", ["220 hello", "354 go ahead", "garbage", "199 what"])
async def test_replies_behind_an_invalid_one_are_ignored(
    pair: AnnouncedPair, relay: ScriptedRelay, reply: str, behind: str, then: str
) -> None:
    """B8, B9: a refusal one position too late is the first mail's, so the announced mail does not get it."""
    relay.say(BOB.sender, "MAIL", then)
    await pair.begin(reply=f"{reply}\r\n{behind}")
    first, second = await pair.end()
    assert isinstance(first, Uncertain)
    assert isinstance(second, Accepted)
    assert pair.received == [BOB.recipient]


async def test_they_are_ignored_if_the_relay_closes_at_that_moment(pair: AnnouncedPair) -> None:
    """B8, B9: the last replies before a disconnect are not believed either."""
    await pair.begin()
    wire = pair.session._protocol
    wire.data_received(f"220 hello\r\n{FOREIGN}\r\n".encode())
    wire.eof_received()
    first, second = await pair.end()
    assert isinstance(first, Uncertain)
    assert isinstance(second, Accepted)


@pytest.mark.parametrize("extra", ["250 2.0.0 and again", "354 go ahead", "220 hello", FOREIGN, THREE])
async def test_a_reply_too_many_behind_the_dots_is_not_believed(
    pair: AnnouncedPair, relay: ScriptedRelay, extra: str
) -> None:
    """B9: after an extra reply the first mail keeps its own, and the announced one moves to a new connection."""
    await pair.begin(reply=f"{QUEUED}\r\n{extra}")
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert pair.received == [ADA.recipient, BOB.recipient]
    assert relay.connections == 2


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_refusal_too_many_before_the_relay_leaves_is_nobodys(
    pair: AnnouncedPair, relay: ScriptedRelay, step: str
) -> None:
    """B8, B9: an announced mail ignores a single refusal before a disconnect, because it may not be its own."""
    relay.say(BOB.sender if step == "MAIL" else BOB.recipient, step, DROP)
    await pair.begin(reply=f"{QUEUED}\r\n{FOREIGN}")
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert pair.received == [ADA.recipient, BOB.recipient]


async def test_a_refusal_too_many_is_not_told_to_a_mail_that_is_refused(
    pair: AnnouncedPair, relay: ScriptedRelay
) -> None:
    """B8, B9: a refused MAIL with an accepted RCPT is inconsistent, so the mail is tried on a new connection."""
    relay.say(BOB.recipient, "RCPT", "550 5.1.1 no such user", times=2)
    relay.say(BOB.recipient, "DATA", HANG)
    await pair.begin(reply=f"{QUEUED}\r\n{FOREIGN}")
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, Rejected)
    assert str(second.reply) == "550 5.1.1 no such user"


@pytest.mark.parametrize("refused", ["MAIL", "RCPT"])
async def test_a_refusal_too_many_is_shown_by_the_reset(
    pair: AnnouncedPair, relay: ScriptedRelay, refused: str
) -> None:
    """B8, B9: RSET shows an extra refusal, although the replies so far seem consistent."""
    pair.seconds = 0.5
    relay.say(BOB.sender if refused == "MAIL" else BOB.recipient, refused, "550 5.7.1 no", times=2)
    relay.say(BOB.recipient, "DATA", HANG)  # so that the last answer does not come together with the others
    await pair.begin(reply=f"{QUEUED}\r\n{FOREIGN}")
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert "for somebody else" not in str(second)


@pytest.mark.parametrize(("step", "kind"), [("MAIL", Deferred), ("RCPT", Accepted)])
async def test_a_reply_too_few_is_not_made_up(
    pair: AnnouncedPair, relay: ScriptedRelay, step: str, kind: type[Outcome]
) -> None:
    """B9: if a reply without an end swallows the next one, no other reply takes its place."""
    pair.seconds = 0.5  # until it no longer waits for the third
    relay.say(BOB.sender if step == "MAIL" else BOB.recipient, step, "250-2.1.0 and so on")
    await pair.begin()
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, kind)
    assert pair.received == [ADA.recipient, BOB.recipient][: 1 + (kind is Accepted)]


@pytest.mark.parametrize(
    ("step", "reply"), [("MAIL", "550 5.7.0 no"), ("RCPT", "550 5.1.1 no"), ("DATA", "554 5.7.1 no")]
)
async def test_a_refused_announced_mail_keeps_the_connection(
    pair: AnnouncedPair, relay: ScriptedRelay, step: str, reply: str
) -> None:
    """Only the second mail is refused, and the third is sent on the same connection."""
    relay.say(BOB.sender if step == "MAIL" else BOB.recipient, step, reply)
    await pair.begin()
    third = pair.send(CID)
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert not isinstance(second, Accepted)
    assert reply[4:] in str(getattr(second, "reply", None) or getattr(second, "detail", None))
    assert isinstance(await third, Accepted)
    assert (relay.connections, pair.queue.times) == (1, 1)


@pytest.mark.parametrize(("step", "kind", "rests"), [("MAIL", NotTried, True), ("RCPT", Deferred, False)])
async def test_an_attempt_is_charged_where_mail_was_answered(
    pair: AnnouncedPair, relay: ScriptedRelay, step: str, kind: type[Outcome], *, rests: bool
) -> None:
    """B6: one retry; an attempt only if MAIL was answered, and without any reply announcing is paused."""
    relay.say(BOB.sender if step == "MAIL" else BOB.recipient, step, DROP, times=2)
    await pair.begin()
    first, second = await pair.end()
    assert isinstance(first, Accepted)
    assert isinstance(second, kind)
    assert relay.connections == 2
    assert isinstance(await pair.send(CID), Accepted)
    before = pair.queue.times
    await pair.begin()
    assert pair.queue.times - before == (0 if rests else 1)
    assert [type(outcome) for outcome in await pair.end()] == [Accepted, Accepted]


@pytest.mark.parametrize(("announcing", "announced"), [(AnnounceLimits(), 0), (AnnounceLimits(pause=-1.0), 1)])
async def test_announcing_is_paused_for_a_while(pair: AnnouncedPair, announced: int) -> None:
    """After a drop without a reply nothing is announced for a while, and then it is tried again."""
    await pair.begin(reply=DROP)
    await pair.end()
    before = pair.queue.times
    await pair.begin()
    assert pair.queue.times - before == announced
    await pair.end()


@pytest.mark.parametrize("announcing", [AnnounceLimits(max_wait=0.05)])
@pytest.mark.parametrize("granted", [True, False])
@pytest.mark.parametrize(("reply", "kind"), [(QUEUED, Accepted), ("550 5.7.1 no", Rejected), (DROP, Uncertain)])
async def test_an_announced_mail_waits_only_for_a_while(
    pair: AnnouncedPair, relay: ScriptedRelay, reply: str, kind: type[Outcome], *, granted: bool
) -> None:
    """After its limit it takes another connection with a new permit; the first mail still gets its reply."""
    if not granted:
        pair.queue.may_answer.clear()
    await pair.begin(reply=reply)
    assert pair.queue.times == 1
    turn = pair.transport._pool._announced[pair.session].turn
    async with asyncio.timeout(50):
        await asyncio.wait([turn])
    await turns()
    assert pair.queue.cancelled == (not granted)
    pair.queue.may_answer.set()
    first, second = await pair.end()
    assert isinstance(first, kind)
    assert isinstance(second, Accepted)
    assert (relay.connections, pair.queue.times) == (2, 2)
    assert pair.received.count(BOB.recipient) == 1


@pytest.mark.parametrize("granted", [True, False])
@pytest.mark.parametrize(("reply", "kind"), [(QUEUED, Accepted), ("550 5.7.1 no", Rejected), (DROP, Uncertain)])
async def test_a_cancelled_announced_mail_leaves_nothing_behind(
    pair: AnnouncedPair, relay: ScriptedRelay, reply: str, kind: type[Outcome], *, granted: bool
) -> None:
    """Its permit is withdrawn, the first mail gets its reply, and the next mail a new connection."""
    if not granted:
        pair.queue.may_answer.clear()
    await pair.begin(reply=reply)
    pair.second.cancel()
    await turns()
    assert pair.queue.cancelled == (not granted)
    first, second = await pair.end()
    assert isinstance(first, kind)
    assert isinstance(second, asyncio.CancelledError)
    assert isinstance(await pair.send(CID), Accepted)
    assert relay.connections == 2
    assert BOB.recipient not in relay.bodies


async def test_answers_that_nobody_read_are_not_the_next_mails(pair: AnnouncedPair, relay: ScriptedRelay) -> None:
    """B8: a connection with unread replies to a cancelled announced mail is not used again."""
    relay.say(BOB.sender, "MAIL", HANG)
    await pair.begin(reply=f"{QUEUED}\r\n{THREE}")
    pair.second.cancel()
    relay.resume.set()
    assert isinstance(await pair.first, Accepted)
    assert isinstance(await pair.send(CID, grant_until(0.5)), Accepted)
    assert relay.connections == 2


async def test_a_cancelled_first_mail_takes_only_the_connection_along(
    pair: AnnouncedPair, relay: ScriptedRelay
) -> None:
    """The announced mail is surely unsent and is tried on a new connection."""
    await pair.begin()
    pair.first.cancel()
    assert isinstance(await pair.second, Accepted)
    await pair.end()
    assert (relay.connections, pair.queue.times) == (2, 2)
    assert pair.received.count(BOB.recipient) == 1


async def test_a_first_mail_whose_permit_ends_is_uncertain_and_the_announced_one_is_not(
    pair: AnnouncedPair, relay: ScriptedRelay
) -> None:
    """B7: silence after the dot makes only the first mail uncertain."""
    await pair.begin(before_body=grant_until(0.2))
    assert isinstance(await pair.first, Uncertain)
    assert isinstance(await pair.second, Accepted)
    await pair.end()
    assert pair.received.count(BOB.recipient) == 1
    assert isinstance(await pair.send(CID, grant_permit), Accepted)
