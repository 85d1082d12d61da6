"""What a relay's reply means for a mail: temporary or permanent is decided here, once (RFC 5321 §4.2, RFC 3463)."""

import re

from notifier.outcomes import Deferred, NotTried, OutageScope, Outcome, RefusalKind, Rejected, SmtpPhase, SmtpReply
from notifier.smtp.refusal_words import find_doubt
from notifier.smtp.reported_fault import find_reported_fault, is_about_sender

SERVICE_CLOSING = 421  # "service not available, closing transmission channel": about the connection, not the mail
# RFC 3463 §3.2, RFC 7505: no such mailbox; moved without a forwarding address; null MX. Not 5.1.2 and 5.1.3, which are
# the relay's view of DNS and syntax, and not 5.2.1: the mailbox exists, and may be enabled again.
_ADDRESS_CODES = frozenset({"5.1.1", "5.1.6", "5.1.10"})
# RFC 5321 §4.2.3, RFC 7504: codes that may be about a recipient; 521 is about the server, 500 to 504 about the command.
_REFUSALS = frozenset({550, 551, 553, 554, 556})
_TOO_LARGE = "5.3.4"
_MAILBOX_FULL = "5.2.2"
_ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
MAX_TEXT_LENGTH = 500


def parse_reply(code: int, message: str) -> SmtpReply:
    """Build a reply from its code and its text, which may have many lines and may be hostile."""
    lines = [line.strip() for line in message.splitlines()] or [""]
    match = _ENHANCED.match(lines[0])
    enhanced = match[1] if match else None
    if enhanced:
        lines = [line.removeprefix(enhanced).strip() for line in lines]
    text = _UNPRINTABLE.sub("?", " ".join(filter(None, lines)))
    return SmtpReply(code=code, enhanced=enhanced, text=text[:MAX_TEXT_LENGTH])


def classify_reply(phase: SmtpPhase, reply: SmtpReply, recipient: str, sender: str = "") -> Outcome:
    """Classify a negative reply (4yz or 5yz) to one mail, in a phase of its transaction.

    `recipient` and `sender` are the addresses that the relay got. Only a refusal that is a fact about the recipient is
    `Refused.RECIPIENT`. A reply stops only this mail, and at MAIL its sender; what it says about the relay must be
    confirmed by other mails (docs/decisions/facts-about-relays.md).
    """
    fault = find_reported_fault(phase, reply, sender=sender, recipient=recipient)
    if fault is None and _is_about_sender(phase, reply, sender):
        return NotTried(detail=str(reply), scope=OutageScope.SENDER, needs_person=True)
    if fault is not None or reply.code < 500 or _is_full(phase, reply):  # noqa: PLR2004 - 4yz: temporary
        return Deferred(phase=phase, reply=reply, reported_fault=fault)
    if reply.enhanced in _ADDRESS_CODES and phase is not SmtpPhase.MAIL:  # at MAIL no recipient was named yet
        doubt = _find_doubt(phase, reply, recipient)
        if doubt is None:
            return Rejected(phase=phase, refused=RefusalKind.RECIPIENT, reply=reply)
        detail = f"the address was not marked, because {doubt}"
        return Rejected(phase=phase, refused=RefusalKind.MESSAGE, reply=reply, detail=detail)
    if reply.enhanced == _TOO_LARGE or reply.code == 552:  # noqa: PLR2004
        return Rejected(phase=phase, refused=RefusalKind.SIZE, reply=reply)
    return Rejected(phase=phase, refused=RefusalKind.MESSAGE, reply=reply)


def is_doubtful(words: str, recipient: str) -> bool:
    """Return True if a reply at RCPT, written as `str(Reply)`, would not suppress the recipient by today's rules."""
    code, _, message = words.partition(" ")
    if not (code.isdecimal() and 500 <= int(code) < 600):  # noqa: PLR2004
        return True
    outcome = classify_reply(SmtpPhase.RCPT, parse_reply(int(code), message), recipient)
    return not (isinstance(outcome, Rejected) and outcome.refused is RefusalKind.RECIPIENT)


def _find_doubt(phase: SmtpPhase, reply: SmtpReply, recipient: str) -> str | None:
    """Return why a reply with one of the `_ADDRESS_CODES` is no fact about the address; None if it is one."""
    if phase is not SmtpPhase.RCPT:
        return "the relay had accepted it, and refused what came then"
    if reply.code not in _REFUSALS:
        return f"{reply.code} is not about a recipient"
    if len(reply.text) >= MAX_TEXT_LENGTH:
        return "the reply is too long to be read as a whole"
    return find_doubt(reply.text, recipient=recipient, enhanced=reply.enhanced or "")


def _is_about_sender(phase: SmtpPhase, reply: SmtpReply, sender: str) -> bool:
    """Return True for a refusal of the sender. At MAIL the relay knows nobody else, so a policy is about the sender."""
    if phase is not SmtpPhase.MAIL or reply.code < 500:  # noqa: PLR2004
        return False
    policy = (reply.enhanced or "").startswith("5.7.")
    return reply.code == 553 or policy or is_about_sender(reply.text, sender=sender)  # noqa: PLR2004


def _is_full(phase: SmtpPhase, reply: SmtpReply) -> bool:
    """Return True for a full mailbox, or for "too many recipients", which may be 552 at RCPT (RFC 5321 §4.5.3.1.10)."""
    return reply.enhanced == _MAILBOX_FULL or (phase is SmtpPhase.RCPT and reply.code == 552)  # noqa: PLR2004
