"""Which replies at RCPT are a fact about the address, and so suppress it: words of relays and providers."""

import itertools

import pytest

from notifier.outcomes import RefusalKind, Rejected, SmtpPhase
from notifier.smtp.reply_meaning import MAX_TEXT_LENGTH, classify_reply, parse_reply

ADA = "ada@example.com"

NO_SUCH_MAILBOX = [
    # Postfix
    "550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
    "550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown in local recipient table",
    "550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown in relay recipient table",
    "550 5.1.1 <ada@example.com>: Recipient address rejected: example.com",
    "556 5.1.10 <ada@example.com>: Recipient address rejected: Domain example.com does not accept mail (nullMX)",
    (
        "550 5.1.1 <ada@example.com>: Recipient address rejected: undeliverable address: host mx.example.com[192.0.2.7]"
        " said: 550 5.1.1 <ada@example.com> User unknown (in reply to RCPT TO command)"
    ),
    # Sendmail, qmail, OpenSMTPD, Exim, Dovecot, Haraka
    "550 5.1.1 <ada@example.com>... User unknown",
    "550 5.1.1 ada@example.com... No such user here",
    "553 5.1.1 sorry, no mailbox here by that name",
    "550 5.1.1 Unrouteable address",
    "550 5.1.1 <ada@example.com> User doesn't exist: ada@example.com",
    "550 5.1.1 Invalid recipient",
    "550 5.1.1 I cannot deliver mail for <ada@example.com>",
    # Gmail, in four lines
    (
        "550 5.1.1 The email account that you tried to reach does not exist. Please try\n"
        "5.1.1 double-checking the recipient's email address for typos or\n"
        "5.1.1 unnecessary spaces. For more information, go to\n"
        "5.1.1  https://support.google.com/mail/?p=NoSuchUser 6a1803df08f44-6d8 - gsmtp"
    ),
    # Exchange, Outlook, iCloud, Zoho, Yahoo, Comcast, Orange, Amazon WorkMail
    "550 5.1.1 User unknown",
    (
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ada@example.com not found by SMTP address lookup"
        " [AM6EUR05FT041.eop-eur05.prod.protection.outlook.com]"
    ),
    "550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found",
    "550 5.1.1 <ada@example.com>: user does not exist",
    "550 5.1.1 unknown or illegal alias: ada@example.com",
    "550 5.1.1 User does not exist - <ada@example.com>",
    "554 5.1.1 delivery error: dd This user doesn't have an example.com account (ada@example.com) [0] - mta1.example",
    "550 5.1.1 Not our Customer",
    "550 5.1.1 Mailbox not found",
    "550 5.1.1 Requested action not taken: mailbox unavailable",
    "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_418",
    "551 5.1.6 The recipient has moved and left no forwarding address",
    # other languages, no words, other cases, line ends
    "550 5.1.1 Utilisateur inconnu",
    "550 5.1.1 Empfänger unbekannt",
    "550 5.1.1 El usuario no existe",
    "550 5.1.1 ユーザーが見つかりません",
    "550 5.1.1",
    "550 5.1.1 <ADA@EXAMPLE.COM>: USER UNKNOWN",
    "550 5.1.1 User unknown\n\n5.1.1 ada@example.com\r",
    "550 5.1.1 account has been deleted",
]

SOMETHING_ELSE = [
    # block lists and reputation, behind the code for an unknown mailbox
    "550 5.1.1 Message blocked, your address is listed at zen.spamhaus.org",
    "550 5.1.1 Service refused; Client host [192.0.2.1] blocked using zen.spamhaus.org",
    "550 5.1.1 BLOCKED",
    "550 5.1.1 Your IP has been blacklisted",
    "550 5.1.1 rejected by rbl.example",
    "550 5.1.1 see https://www.spamhaus.org/query/ip/192.0.2.1",
    "550 5.1.1 poor reputation",
    "550 5.1.1 <ada@example.com>: Recipient address rejected: blocked by recipient",
    "554 5.1.1 Your access to this mail system has been rejected due to the sending MTA's poor reputation",
    "550 5.1.1 DNSBL match",
    "550 5.1.1 ada@example.com: [TSS04] messages from 192.0.2.1 temporarily deferred",
    "550 5.1.1 banned",
    # content
    "550 5.1.1 Message rejected as spam",
    "550 5.1.1 spam-like content",
    "550 5.1.1 This message contains a virus",
    "550 5.1.1 message looks suspicious",
    "550 5.1.1 Message rejected: see https://provider.example/spam-policy",
    # policy
    "550 5.1.1 policy rejection",
    "550 5.1.1 <ada@example.com>: Recipient address rejected: Access denied",
    "550 5.1.1 Administrative prohibition",
    "550 5.1.1 not authorized to send to this group; members only",
    "550 5.1.1 RESOLVER.RST.RestrictedToRecipientsPermission; not authorised",
    "550 5.1.1 does not accept mail from your server",
    "550 5.1.1 abgelehnt: Richtlinie",
    "550 5.1.1 message declined",
    # the sender, authentication, relaying
    "550 5.1.1 <notifier@shop.example>: Sender address rejected: User unknown in local recipient table",
    "550 5.1.1 Sender verify failed",
    "550 5.1.1 authentication required",
    "550 5.1.1 DMARC failure for shop.example",
    "550 5.1.1 SPF check failed",
    "550 5.1.1 Relaying denied",
    "550 5.1.1 relay not permitted",
    "553 5.1.1 sorry, that domain isn't in my list of allowed rcpthosts",
    # the moment
    "550 5.1.1 User unknown, try again later",
    "550 5.1.1 greylisted",
    "550 5.1.1 Grey-listing in action",
    "550 5.1.1 mailbox temporarily unavailable",
    "550 5.1.1 too many recipients",
    "550 5.1.1 rate limit exceeded",
    "550 5.1.1 service unavailable",
    "550 5.1.1 Recipient rejected: LDAP lookup failure",
    "550 5.1.1 could not connect to the user database, unable to verify the user",
    # full, disabled
    "550 5.1.1 mailbox full",
    "550 5.1.1 user is over quota",
    "550 5.1.1 MailboxFull",
    "550 5.1.1 out of storage space",
    "550 5.1.1 account disabled",
    "550 5.1.1 account suspended",
    "550 5.1.1 account inactive",
    "550 5.1.1 mailbox locked",
    "550 5.1.1 Postfach voll",
    # other codes, other addresses
    "550 5.1.1 host mx.example.com said: 550 5.7.1 no (in reply to RCPT TO command)",
    "550 5.1.1 user unknown\n5.7.26 and more",
    "550 5.1.1 451 4.7.1 in disguise",
    "550 5.1.1 <forwarded@elsewhere.example>: User unknown",
    "550 5.1.1 <ada@example.com> is an alias for bob@example.com, who is unknown",
    "550 5.1.1 <not-ada@example.com>: User unknown",
    "551 5.1.6 User has moved; please try <ada@new.example>",
    # other codes for the same words
    "550 5.7.1 user unknown",
    "550 5.7.1 No such user!",
    "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
    "550 5.4.4 unable to route: no such user",
    "550 5.2.1 The email account that you tried to reach is disabled",
    "552 5.2.2 The email account that you tried to reach is over quota",
    "550 5.2.2 mailbox full",
    "550 5.5.0 Requested action not taken: mailbox unavailable",
    "550 5.1.0 Address rejected",
    "550 5.1.2 <ada@example.com>: Recipient address rejected: Domain not found",
    "553 5.1.3 User name contains invalid characters",
    "550 5.1.8 sender's address rejected",
    "552 5.3.4 message too large",
    "450 5.1.1 user unknown",
    "450 4.1.1 unverified address",
    "521 5.1.1 this host accepts no mail",
    # no status code, or one that is not where RFC 2034 wants it
    "550 user unknown",
    "550 No such user here",
    "550 Requested action not taken: mailbox unavailable",
    "550 #5.1.1 user unknown",
    "550 sorry, no mailbox here by that name (#5.1.1)",
    "551 User not local; please try <ada@new.example>",
    "550 unknown\n5.1.1 user",
]
"""Each is said at RCPT, by the code or against it, and marks nobody."""

WORDS = [
    "blocked", "block list", "Blacklisted", "listed", "listed at zen.spamhaus.org", "spam", "SPAM", "junk", "virus",
    "policy", "policies", "reputation", "relay denied", "relaying not allowed", "access denied", "forbidden",
    "unauthenticated", "authentication", "not authorized", "SPF", "DKIM", "DMARC", "greylisted", "gray-listed",
    "try again", "try again later", "try later", "temporarily", "temporary failure", "deferred", "rate limited",
    "too many", "throttled", "quota", "over-quota", "overquota", "full", "mailbox is full", "storage", "disabled",
    "disabled account", "suspended", "deactivated", "inactive", "locked", "expired", "content", "suspicious",
    "phishing", "malware", "restricted", "prohibited", "refused", "sender", "timeout", "busy", "overloaded",
    "bloqué", "gesperrt", "https://example.org/spam-policy", "abuse@provider.example", "5.7.1", "4.2.2",
]  # fmt: skip


def _suppresses(reply: str, recipient: str = ADA) -> bool:
    """What RCPT's reply, as a relay sends it, means for the address."""
    outcome = classify_reply(SmtpPhase.RCPT, parse_reply(int(reply[:3]), reply[4:]), recipient)
    return isinstance(outcome, Rejected) and outcome.refused is RefusalKind.RECIPIENT


@pytest.mark.parametrize("reply", NO_SUCH_MAILBOX)
def test_a_mailbox_that_does_not_exist_is_suppressed(reply: str) -> None:
    """The code counts if the words agree, say nothing, or are in another language."""
    assert _suppresses(reply)


@pytest.mark.parametrize("reply", SOMETHING_ELSE)
def test_a_reply_about_something_else_suppresses_nobody(reply: str) -> None:
    """If words and code disagree, or neither is a fact about the address, the address stays as it is."""
    assert not _suppresses(reply)


@pytest.mark.parametrize("word", WORDS)
def test_one_such_word_anywhere_is_enough(word: str) -> None:
    """Put between any two words of any reply, on the same line or the next one, in either case, it marks nobody."""
    for reply, form in itertools.product(NO_SUCH_MAILBOX, (word, word.upper(), f"({word})")):
        code, _, text = reply.partition(" ")
        enhanced, _, rest = text.partition(" ")
        parts = rest.split(" ") if rest else []
        for place in range(len(parts) + 1):
            changed = " ".join([*parts[:place], form, *parts[place:]])
            assert not _suppresses(f"{code} {enhanced} {changed}"), changed
        assert not _suppresses(f"{reply}\n{enhanced} {form}")


@pytest.mark.parametrize(
    "recipient",
    ["spam@example.com", "ada@blocked.example", "full.quota@policy.example", "o'brien+relay@example.com", "a@b.org"],
)
def test_the_words_of_the_address_itself_do_not_count(recipient: str) -> None:
    """An address with such a word in it can be marked like any other."""
    assert _suppresses(f"550 5.1.1 <{recipient}>: user unknown", recipient)
    assert _suppresses(f"550 5.1.1 {recipient.upper()}... No such user", recipient)


def test_a_longer_address_is_another_one() -> None:
    """The recipient's address inside another is not the recipient."""
    for other in ("not-ada@example.com", "x.ada@example.com", "x+ada@example.com", "ada@example.com.evil.example"):
        assert not _suppresses(f"550 5.1.1 <{other}>: user unknown")


def test_a_reply_that_was_cut_suppresses_nobody() -> None:
    """A reply that is too long to be stored whole may say anything."""
    assert _suppresses("550 5.1.1 " + "x" * (MAX_TEXT_LENGTH - 1))
    assert not _suppresses("550 5.1.1 " + "x" * MAX_TEXT_LENGTH)
    assert not _suppresses("550 5.1.1 " + "x " * MAX_TEXT_LENGTH + "blocked")


def test_the_reason_is_kept_for_people() -> None:
    """The outcome says that the address was not marked, and why."""
    outcome = classify_reply(SmtpPhase.RCPT, parse_reply(550, "5.1.1 blocked, listed at zen.spamhaus.org"), ADA)
    assert isinstance(outcome, Rejected)
    assert outcome.refused is RefusalKind.MESSAGE
    assert outcome.detail == (
        "the address was not marked, because its words are about a block list or the sender's reputation"
    )
