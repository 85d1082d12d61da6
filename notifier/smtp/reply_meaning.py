"""What a relay's reply means for a mail: temporary or permanent is decided here, once (RFC 5321 §4.2, RFC 3463).

A relay often speaks about itself in its reply to a mail. Such a reported fault is matched generously, because it stops
nothing until other mails confirm it (notifier.throttle.circuit_breaker).
"""

import re
import unicodedata

from notifier import email_address
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
from notifier.smtp.refusal_words import find_doubt

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
_LOGIN_CODES = frozenset({432, 530, 534, 535, 538})  # RFC 4954 §6, RFC 5321 §3; 432 and 538: RFC 4954 §4, RFC 2554
_SHORT_OF_SERVICE = 454  # RFC 3207, RFC 4954: TLS or login not available; relays use it for their own faults
# RFC 3463 §3.4, mail system status. Not X.3.3 and X.3.4: a feature or a size that this mail asks for.
_SYSTEM_CODES = {
    "4.3.0": CircuitReason.SYSTEM,
    "4.3.1": CircuitReason.STORAGE,
    "4.3.2": CircuitReason.SYSTEM,
    "4.3.5": CircuitReason.SYSTEM,
}
_RELAY_POLICY = frozenset({None, "4.7.0", "4.7.1", "4.7.25", "4.7.28"})
# The first match counts. They are used only where there is no status code, or one that means just "a policy".
# Sources: the replies of Postfix, Exim, OpenSMTPD, Exchange, Gmail, Amazon SES, SendGrid and Mailgun that the test of
# this module lists, each with its phase.
_FAULT_WORDS: dict[CircuitReason, tuple[str, ...]] = {
    CircuitReason.RELAYING: (
        "relay(ing)? (access )?(denied|not permitted|not allowed)", "not permitted to relay", "client host rejected",
        "cannot find your (reverse )?hostname",
    ),
    CircuitReason.RATE: (
        "throttling", "too much mail", "maximum (sending|send) rate",
        "(daily|sending|message) (message )?(quota|limit)", "messaging limit",
        "maximum credits", "unusual rate of", "ip address.{0,40}rate",
        "rate limit.{0,20}(ip|client|account)", "too many (messages|connections|concurrent)",
    ),
    CircuitReason.STORAGE: (
        "space shortage", "no space left", "insufficient system",
        "(system|disk|queue|spool) (is )?(space|full|storage)",
        "(insufficient|not enough|out of|low on) (disk|storage|resources|space)",
    ),
    CircuitReason.SYSTEM: (
        "local (problem|error)", "queue file", "(server|system) (configuration )?(error|problem|failure)",
        "(server|system) (is )?(not accepting|busy|overloaded)", "configuration (error|problem)", "shutting down",
        "service (is )?(currently |temporarily )?(un|not )available", "out of memory",
    ),
}  # fmt: skip
_FAULT_PATTERNS = {reason: re.compile("|".join(fragments)) for reason, fragments in _FAULT_WORDS.items()}
_ADDRESS = re.compile(r"\S+@\S+")
_ABOUT_MAILBOX = re.compile(r"mailbox|quota for|\buser\b|recipient|gr[ae]y ?-?list")
_OTHERS_WORDS = re.compile(r"\bsaid\b|in reply to|remote (host|server|mta)|\bresponded\b|upstream")
"""A reply that quotes another host is about that host, not about the relay."""
_OF_SENDER = re.compile(
    r"\bsender\b|\bmail from\b|\bfrom:? address|return[ -]?path|envelope[ -]from|sending (domain|address)"
    r"|\bverification failed for|\bsend ?as\b"
)
# After the body, words about the sender may be about the content. These are about the sender. Exchange Online:
# 5.7.60, 5.2.252; Outlook.com: 5.7.515; Amazon SES: "Email address is not verified … identities failed the check".
_SENDER_CODES = frozenset({"5.7.515", "5.7.60", "5.2.252"})
_NOT_VERIFIED = re.compile(r"\bnot verified\b|identit(y|ies) failed")


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
    `RefusalKind.RECIPIENT`. A reply stops only this mail, and at MAIL its sender; what it says about the relay must be
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
    """Return True if a reply at RCPT, as `str(SmtpReply)`, would not suppress the recipient by today's rules."""
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


def find_reported_fault(phase: SmtpPhase, reply: SmtpReply, *, sender: str, recipient: str) -> CircuitReason | None:
    """Return the fault of the relay or the sender that a negative reply reports; None if it is about the mail.

    A refusal of the sender at MAIL is certain, and so not a reported fault: see `classify_reply`.
    """
    words = _normalize(reply.text)
    if _OTHERS_WORDS.search(words):
        return None
    if reply.code in _LOGIN_CODES:
        return CircuitReason.LOGIN
    if reply.code >= 500:  # noqa: PLR2004
        possible = phase is not SmtpPhase.MAIL and _may_be_about_sender(phase, reply, words)
        return CircuitReason.SENDER if possible and is_about_sender(words, sender=sender, recipient=recipient) else None
    return _find_relay_fault(reply, _ADDRESS.sub(" ", words))


def _find_relay_fault(reply: SmtpReply, words: str) -> CircuitReason | None:
    """Return the fault of the relay that a 4yz reply reports."""
    if reply.enhanced in _SYSTEM_CODES:
        return _SYSTEM_CODES[reply.enhanced]
    if reply.enhanced not in _RELAY_POLICY or _ABOUT_MAILBOX.search(words):
        return None
    for reason, pattern in _FAULT_PATTERNS.items():
        if pattern.search(words):
            return reason
    return CircuitReason.LOGIN if reply.code == _SHORT_OF_SERVICE else None


def is_about_sender(text: str, *, sender: str, recipient: str = "") -> bool:
    """Return True if the text names the envelope's sender or its domain as refused, and not the recipient.

    `recipient` is empty if the relay has not been told one. If both are the same address, the answer is False.
    """
    words, sender, recipient = _normalize(text), _normalize(sender), _normalize(recipient)
    if not sender or sender == recipient or (recipient and _mentions(words, recipient)):
        return False
    domain = email_address.get_address_domain(sender)
    is_named = _mentions(words, sender)
    if not is_named and domain != email_address.get_address_domain(recipient) and not _ADDRESS.search(words):
        is_named = _mentions(words, domain)
    other_words = words.replace(sender, " ").replace(domain, " ")
    return is_named and (words.startswith((f"<{sender}>", f"<{domain}>")) or _mentions_sender(other_words))


def _mentions_sender(words: str) -> bool:
    return bool(_OF_SENDER.search(words) or _NOT_VERIFIED.search(words))


def _may_be_about_sender(phase: SmtpPhase, reply: SmtpReply, words: str) -> bool:
    return phase is not SmtpPhase.BODY or reply.enhanced in _SENDER_CODES or bool(_NOT_VERIFIED.search(words))


def _mentions(words: str, name: str) -> bool:
    """Return True if the words contain an address or a domain, not as a part of another one."""
    return re.search(rf"(?<![\w.+-]){re.escape(name)}(?![\w-]|\.\w)", words) is not None


def _normalize(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
