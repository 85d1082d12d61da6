"""Faults of the relay or the sender that a reply to one mail reports.

A relay often speaks about itself in its reply to a mail. The reply code, the status code and the words are matched
generously, because a reported fault stops nothing until other mails confirm it (notifier.throttle.fault_confirmation).
"""

import re
import unicodedata

from notifier import email_address
from notifier.outcomes import CircuitReason, SmtpPhase, SmtpReply

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


def find_reported_fault(phase: SmtpPhase, reply: SmtpReply, *, sender: str, recipient: str) -> CircuitReason | None:
    """Return the fault of the relay or the sender that a negative reply reports; None if it is about the mail.

    A refusal of the sender at MAIL is certain and so not a reported fault: see `replies.judge`.
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
