"""Which fault a real reply reports: about its mail, about its sender, or about the relay."""

from itertools import product

import pytest

from notifier.outcomes import Deferred, NotTried, OutageScope, Outcome, RefusalKind, Rejected, SmtpPhase, SmtpReply
from notifier.smtp.reply_meaning import classify_reply, parse_reply

MAIL, RCPT, DATA, BODY = SmtpPhase.MAIL, SmtpPhase.RCPT, SmtpPhase.DATA, SmtpPhase.BODY
ASKED = tuple(phase for phase in SmtpPhase if phase is not SmtpPhase.CONNECT)
SENDER, RECIPIENT = "orders@blocked.example", "bob@customer.example"
UNVERIFIED = "Message rejected: Email address is not verified. The following identities failed the check in EU-WEST-1:"
STRANGERS = "host mx.evil.example[192.0.2.1] said: {} (in reply to RCPT TO command)"


def reach(outcome: Outcome) -> str:
    """How far an outcome reaches: only the mail; its sender; or a claim, by its reason."""
    match outcome:
        case Deferred(reported_fault=None):
            return "later"
        case Deferred(reported_fault=claim) if claim is not None:
            return f"claim: {claim}"
        case Rejected(refused=RefusalKind.RECIPIENT):
            return "recipient"
        case Rejected():
            return "failed"
        case NotTried(scope=OutageScope.SENDER):
            return "sender"
    raise AssertionError(outcome)


REAL = [
    # Postfix (smtpd): with smtpd_delay_reject, its default, sender and client are refused at RCPT
    (RCPT, "554 5.7.1 <orders@blocked.example>: Sender address rejected: Access denied", "claim: sender"),
    (RCPT, "553 5.7.1 <orders@blocked.example>: Sender address rejected: not owned by user shop", "claim: sender"),
    (RCPT, "550 5.1.8 <orders@blocked.example>: Sender address rejected: Domain not found", "claim: sender"),
    (RCPT, "554 5.7.1 <blocked.example>: Sender address rejected: Access denied", "claim: sender"),
    (MAIL, "550 5.1.8 <orders@blocked.example>: Sender address rejected: Domain not found", "sender"),
    (MAIL, "553 5.7.1 <orders@blocked.example>: Sender address rejected: not owned by user shop", "sender"),
    (RCPT, "450 4.1.8 <orders@blocked.example>: Sender address rejected: Domain not found", "later"),
    (RCPT, "554 5.7.1 <bob@customer.example>: Recipient address rejected: Access denied", "failed"),
    (RCPT, "554 5.7.1 <bob@customer.example>: Sender address rejected: orders@blocked.example is barred", "failed"),
    (RCPT, "554 5.7.1 Sender address rejected: Access denied", "failed"),
    (RCPT, "554 5.7.1 <x-orders@blocked.example>: Sender address rejected: Access denied", "failed"),
    (RCPT, "550 5.1.1 <bob@customer.example>: Recipient address rejected: User unknown", "recipient"),
    (RCPT, "550 5.1.1 <bob@customer.example>: user unknown", "recipient"),
    (RCPT, "454 4.7.1 <bob@customer.example>: Relay access denied", "claim: relaying"),
    (RCPT, "554 5.7.1 <bob@customer.example>: Relay access denied", "failed"),
    (RCPT, "450 4.7.1 <bob@customer.example>: Recipient address rejected: Greylisted, see postgrey", "later"),
    (RCPT, "450 4.2.0 <bob@customer.example>: Recipient address rejected: Greylisted", "later"),
    (RCPT, "451 4.3.0 <bob@customer.example>: Temporary lookup failure", "claim: system"),
    (RCPT, "451 4.3.5 Server configuration problem", "claim: system"),
    (BODY, "451 4.3.0 Error: queue file write error", "claim: system"),
    (MAIL, "452 4.3.1 Insufficient system storage", "claim: storage"),
    (MAIL, "450 4.7.1 Error: too much mail from 192.0.2.7", "claim: rate"),
    (RCPT, "450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.7]", "claim: relaying"),
    (RCPT, "452 4.5.3 Error: too many recipients", "later"),
    (RCPT, "452 4.2.2 <bob@customer.example>: Mailbox full", "later"),
    (MAIL, "530 5.7.0 Must issue a STARTTLS command first", "claim: login"),
    (BODY, "552 5.3.4 Message size exceeds fixed limit", "failed"),
    (RCPT, f"450 4.1.1 <{RECIPIENT}>: unverified address: {STRANGERS.format('452 4.3.1 disk full')}", "later"),
    (RCPT, f"451 4.3.0 {STRANGERS.format('454 Relay access denied')}", "later"),
    (RCPT, f"550 5.7.1 {STRANGERS.format('<orders@blocked.example>: Sender address rejected')}", "failed"),
    # Exim: no status codes
    (MAIL, "452 space shortage, please try later", "claim: storage"),
    (RCPT, "451 Temporary local problem - please try later", "claim: system"),
    (BODY, "451 Temporary local problem - please try later", "claim: system"),
    (RCPT, "550 relay not permitted", "failed"),
    (RCPT, "550-Verification failed for <orders@blocked.example>\n550 Sender verify failed", "claim: sender"),
    (RCPT, "451 Could not complete sender verify callout", "later"),
    (RCPT, "451 greylisted, please try again", "later"),
    (RCPT, "535 Incorrect authentication data", "claim: login"),
    # OpenSMTPD
    (MAIL, "452 4.3.1 Out of memory", "claim: storage"),
    (RCPT, "550 Invalid recipient", "failed"),
    (BODY, "451 4.3.0 Temporary failure", "claim: system"),
    # Exchange and Exchange Online
    (MAIL, "452 4.3.1 Insufficient system resources (UsedDiskSpace)", "claim: storage"),
    (MAIL, "530 5.7.57 Client not authenticated to send mail", "claim: login"),
    (MAIL, "530 5.7.1 Client was not authenticated", "claim: login"),
    (BODY, "451 4.3.2 System not accepting network messages", "claim: system"),
    (
        BODY,
        "554 5.2.252 SendAsDenied; orders@blocked.example not allowed to send as news@corp.example",
        "claim: sender",
    ),
    (RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "failed"),
    (RCPT, "451 4.7.0 Temporary server error. Please try again later. PRX2", "claim: system"),
    # Outlook.com
    (BODY, "550 5.7.515 Access denied, sending domain BLOCKED.EXAMPLE does not meet the level", "claim: sender"),
    (BODY, "550 5.7.515 Access denied, sending domain does not meet the required level", "failed"),
    (RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable", "failed"),
    # Gmail
    (BODY, "451 4.3.0 Mail server temporarily rejected message", "claim: system"),
    (BODY, "421 4.7.28 Gmail has detected an unusual rate of mail originating from your IP address", "claim: rate"),
    (RCPT, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that", "later"),
    (RCPT, "452 4.2.2 The recipient's inbox is out of storage space", "later"),
    (BODY, "550 5.7.26 This mail has been blocked because the sender is unauthenticated", "failed"),
    (MAIL, "530 5.7.0 Authentication Required", "claim: login"),
    # Amazon SES
    (BODY, "454 Throttling failure: Maximum sending rate exceeded", "claim: rate"),
    (BODY, "454 Throttling failure: Daily message quota exceeded", "claim: rate"),
    (BODY, "451 Local server error", "claim: system"),
    (BODY, f"554 {UNVERIFIED} orders@blocked.example", "claim: sender"),
    (BODY, f"554 {UNVERIFIED} bob@customer.example", "failed"),
    # SendGrid, Mailgun
    (MAIL, "451 You have exceeded your messaging limits", "claim: rate"),
    (BODY, "550 The from address does not match a verified Sender Identity", "failed"),
    (BODY, "421 4.7.0 try again later", "later"),
    (RCPT, "421 4.3.2 Service shutting down", "claim: system"),
    # What any relay may say of a spam verdict: the sender is named, the content is meant
    (BODY, "554 5.7.1 Spam from sender orders@blocked.example", "failed"),
]


@pytest.mark.parametrize(("phase", "words", "expected"), REAL, ids=[f"{phase} {words}" for phase, words, _ in REAL])
def test_a_real_reply_reaches_what_it_is_about(phase: SmtpPhase, words: str, expected: str) -> None:
    """Replies as these relays write them, at the step at which they come."""
    text = "\n".join(line[4:] for line in words.splitlines())
    assert reach(classify_reply(phase, parse_reply(int(words[:3]), text), RECIPIENT, SENDER)) == expected


@pytest.mark.parametrize("phase", ASKED)
def test_no_reply_to_a_mail_reaches_further(phase: SmtpPhase) -> None:
    """Each code with each status code and many words: the mail, or its sender at MAIL; and never a 4yz for good."""
    details = (0, 1, 2, 3, 4, 5, 8, 10, 12, 28, 60, 252, 515)
    codes = [None, *(f"{c}.{s}.{d}" for c, s, d in product((4, 5), range(8), details))]
    words = ("", f"<{SENDER}>: Sender address rejected", f"<{RECIPIENT}>: Relay access denied", "disk full")
    for code, enhanced in product(range(400, 600), codes):
        outcome = classify_reply(
            phase,
            SmtpReply(code=code, enhanced=enhanced, text=words[(code + len(enhanced or "")) % 4]),
            RECIPIENT,
            SENDER,
        )
        assert isinstance(outcome, Deferred | Rejected) or (phase is MAIL and _pauses_sender(outcome)), (code, enhanced)
        assert code >= 500 or isinstance(outcome, Deferred)


def _pauses_sender(outcome: Outcome) -> bool:
    return isinstance(outcome, NotTried) and outcome.scope is OutageScope.SENDER


@pytest.mark.parametrize(
    ("sender", "recipient", "words"),
    [
        (SENDER, SENDER, f"<{SENDER}>: Sender address rejected"),
        (SENDER, SENDER.upper(), f"<{SENDER}>: Sender address rejected"),
        (SENDER, "bob@blocked.example", "<blocked.example>: Sender address rejected"),
        (SENDER, RECIPIENT, "<other@blocked.example>: Sender address rejected"),
        (SENDER, RECIPIENT, "<orders@blocked.example.org>: Sender address rejected"),
        (SENDER, RECIPIENT, "see https://mail.blocked.example/why: Sender address rejected"),
        (SENDER, RECIPIENT, f"<{SENDER}> -> <{RECIPIENT}>: Sender address rejected"),
        ("", RECIPIENT, "<>: Sender address rejected"),
    ],
)
def test_words_that_do_not_single_out_the_sender_stay_with_the_mail(sender: str, recipient: str, words: str) -> None:
    """The same address on both sides, another address, a longer one, or both of them."""
    assert reach(classify_reply(RCPT, SmtpReply(code=554, enhanced="5.7.1", text=words), recipient, sender)) == "failed"


@pytest.mark.parametrize("written", ["ORDERS@Blocked.Example", "orders@blocked.example.", "orders@blocked.example;"])
def test_the_sender_is_found_however_it_is_written(written: str) -> None:
    """Case and punctuation."""
    reply = SmtpReply(code=554, enhanced="5.7.1", text=f"Sender address {written} rejected")
    assert reach(classify_reply(RCPT, reply, RECIPIENT, SENDER)) == "claim: sender"
