"""The meaning of a reply: the whole table of the design, and parsing of hostile text."""

import pytest

from notifier.outcomes import (
    CircuitReason,
    Deferred,
    NotTried,
    OutageScope,
    Outcome,
    RefusalKind,
    Rejected,
    SmtpPhase,
    SmtpReply,
)
from notifier.smtp.reply_meaning import MAX_TEXT_LENGTH, classify_reply, parse_reply

MAIL, RCPT, DATA, BODY = SmtpPhase.MAIL, SmtpPhase.RCPT, SmtpPhase.DATA, SmtpPhase.BODY
ALL = (MAIL, RCPT, DATA, BODY)
AFTER_MAIL = (RCPT, DATA, BODY)
OTHER_THAN_RCPT = (MAIL, DATA, BODY)
ADA = "ada@example.com"

RECIPIENT, MESSAGE, SIZE = RefusalKind.RECIPIENT, RefusalKind.MESSAGE, RefusalKind.SIZE


def meaning(outcome: Outcome) -> str:
    """The outcome in one word for the tables below."""
    match outcome:
        case Deferred(reported_fault=None):
            return "deferred"
        case Deferred(reported_fault=claim) if claim is not None:
            return claim.value
        case Rejected(refused=refused):
            return refused.value
        case NotTried(scope=OutageScope.SENDER, needs_person=True):
            return "sender"
    raise AssertionError(outcome)


TABLE = [
    # phases, code, enhanced code, meaning
    ((RCPT,), 550, "5.1.1", "recipient"),
    ((RCPT,), 553, "5.1.1", "recipient"),
    ((RCPT,), 554, "5.1.1", "recipient"),
    ((RCPT,), 551, "5.1.6", "recipient"),
    ((RCPT,), 556, "5.1.10", "recipient"),
    ((DATA, BODY), 550, "5.1.1", "message"),
    ((DATA, BODY), 556, "5.1.10", "message"),
    ((RCPT,), 521, "5.1.1", "message"),
    ((RCPT,), 501, "5.1.1", "message"),
    (AFTER_MAIL, 550, "5.1.2", "message"),
    (AFTER_MAIL, 553, "5.1.3", "message"),
    (AFTER_MAIL, 550, "5.2.1", "message"),
    (AFTER_MAIL, 550, "5.4.1", "message"),
    (AFTER_MAIL, 550, "5.4.4", "message"),
    (OTHER_THAN_RCPT, 552, "5.3.4", "size"),
    (ALL, 550, "5.3.4", "size"),
    (OTHER_THAN_RCPT, 552, None, "size"),
    (AFTER_MAIL, 554, "5.6.0", "message"),
    (AFTER_MAIL, 554, "5.7.1", "message"),
    (AFTER_MAIL, 550, "5.7.26", "message"),
    (AFTER_MAIL, 553, None, "message"),
    (ALL, 550, None, "message"),
    (ALL, 554, None, "message"),
    (ALL, 500, "5.5.1", "message"),
    (ALL, 555, "5.5.4", "message"),
    (ALL, 550, "5.1.0", "message"),
    (ALL, 550, "5.1.7", "message"),
    (ALL, 550, "5.1.11", "message"),
    (ALL, 599, "5.99.999", "message"),
    (ALL, 530, "5.7.0", "login"),
    (ALL, 534, "5.7.9", "login"),
    (ALL, 535, "5.7.8", "login"),
    ((MAIL,), 550, "5.7.515", "sender"),
    (AFTER_MAIL, 550, "5.7.515", "message"),
    ((MAIL,), 553, None, "sender"),
    ((MAIL,), 553, "5.1.8", "sender"),
    ((MAIL,), 550, "5.7.1", "sender"),
    ((MAIL,), 554, "5.7.26", "sender"),
    (ALL, 450, None, "deferred"),
    (ALL, 451, "4.7.1", "deferred"),
    (ALL, 451, "4.3.0", "system"),
    (ALL, 451, "4.3.2", "system"),
    (ALL, 451, "4.3.3", "deferred"),
    (ALL, 452, "4.3.4", "deferred"),
    (ALL, 450, "4.2.1", "deferred"),
    (ALL, 499, None, "deferred"),
    (ALL, 552, "5.2.2", "deferred"),
    (ALL, 550, "5.2.2", "deferred"),
    (ALL, 452, None, "deferred"),
    (ALL, 452, "4.2.2", "deferred"),
    ((RCPT,), 552, None, "deferred"),
    ((RCPT,), 452, "4.5.3", "deferred"),
    (ALL, 454, None, "login"),
    (ALL, 454, "4.7.0", "login"),
    (ALL, 454, "4.2.1", "deferred"),
    (ALL, 432, "4.7.12", "login"),
    (ALL, 452, "4.3.1", "storage"),
]


@pytest.mark.parametrize(
    ("phase", "code", "enhanced", "expected"),
    [(phase, code, enhanced, expected) for phases, code, enhanced, expected in TABLE for phase in phases],
)
def test_a_reply_is_judged_by_the_table(phase: SmtpPhase, code: int, enhanced: str | None, expected: str) -> None:
    """Each reply of the design's table leads to its outcome, in each phase in which it may come."""
    assert meaning(classify_reply(phase, SmtpReply(code=code, enhanced=enhanced, text="words"), ADA)) == expected


@pytest.mark.parametrize("phase", ALL)
def test_no_reply_suppresses_without_an_enhanced_code(phase: SmtpPhase) -> None:
    """A bare code never costs a recipient the next mail, and a bare 4yz never ends a notification."""
    for code in range(400, 600):
        outcome = classify_reply(phase, SmtpReply(code=code), ADA)
        assert meaning(outcome) != "recipient"
        assert code >= 500 or not isinstance(outcome, Rejected)


@pytest.mark.parametrize("enhanced", ["5.1.1", "5.1.2", "5.1.3", "5.2.1"])
def test_what_mail_from_is_told_is_never_about_the_recipient(enhanced: str) -> None:
    """At MAIL the relay has not heard of the recipient yet, so nobody is suppressed for it."""
    assert meaning(classify_reply(MAIL, SmtpReply(code=550, enhanced=enhanced), ADA)) != "recipient"


@pytest.mark.parametrize("phase", ALL)
def test_a_temporary_reply_is_never_permanent_whatever_its_enhanced_code(phase: SmtpPhase) -> None:
    """A 4yz with an enhanced code of another class is still temporary (RFC 5321 §4.2.1)."""
    for enhanced in ("5.1.1", "5.2.1", "5.6.0"):
        assert isinstance(classify_reply(phase, SmtpReply(code=450, enhanced=enhanced), ADA), Deferred)


def test_an_outcome_keeps_phase_and_reply() -> None:
    """Code, enhanced code and text are there for the people who ask why."""
    reply = SmtpReply(code=550, enhanced="5.1.1", text="no such user")
    assert classify_reply(RCPT, reply, ADA) == Rejected(phase=RCPT, refused=RECIPIENT, reply=reply)
    assert classify_reply(BODY, SmtpReply(code=451), ADA) == Deferred(phase=BODY, reply=SmtpReply(code=451))
    login = SmtpReply(code=535, enhanced="5.7.8", text="no")
    assert classify_reply(MAIL, login, ADA) == Deferred(phase=MAIL, reply=login, reported_fault=CircuitReason.LOGIN)


@pytest.mark.parametrize(
    ("message", "enhanced", "text"),
    [
        ("2.0.0 queued as 17", "2.0.0", "queued as 17"),
        ("queued as 17", None, "queued as 17"),
        ("5.1.1", "5.1.1", ""),
        ("5.1.10 gone", "5.1.10", "gone"),
        ("5.1.1 one\n5.1.1 two", "5.1.1", "one two"),
        ("5.1.1-one\n5.1.1 two", None, "5.1.1-one 5.1.1 two"),
        ("one\n5.1.1 two", None, "one 5.1.1 two"),
        ("", None, ""),
        ("\n \n", None, ""),
        ("3.1.1 x", None, "3.1.1 x"),
        ("5.1.1.1 x", None, "5.1.1.1 x"),
        ("5.1.1000 x", None, "5.1.1000 x"),
        ("5.7.1\x00\x07 \x1b[31mred", None, "5.7.1? ?[31mred"),
        ("ok \udcff\udcfe é", None, "ok ? é"),
        ("a\u202e\u2028b", None, "a\u202e b"),
        ("a\x85b\x0bc", None, "a b c"),
    ],
)
def test_a_reply_is_taken_apart(message: str, enhanced: str | None, text: str) -> None:
    """The enhanced code is found at the start only; control characters and broken bytes do not get through."""
    assert parse_reply(550, message) == SmtpReply(code=550, enhanced=enhanced, text=text)


def test_a_long_reply_is_cut() -> None:
    """A relay cannot fill our tables."""
    assert parse_reply(550, "x" * 10_000).text == "x" * MAX_TEXT_LENGTH


def test_a_reply_as_one_line() -> None:
    """What people read: the code, the enhanced code where there is one, and the text."""
    assert str(SmtpReply(code=550, enhanced="5.1.1", text="no such user")) == "550 5.1.1 no such user"
    assert str(SmtpReply(code=550)) == "550"
