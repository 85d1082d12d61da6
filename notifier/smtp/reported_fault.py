"""What a reply to one mail says about the relay itself, or about the sender: a claim, not yet a fact.

A relay often speaks about itself where it answers about a mail. Whether it does is read off code, status code and
words, generously: a claim stops nothing until other mails were told the same (notifier.throttle.fault_confirmation).
"""

import re
import unicodedata

from notifier import email_address
from notifier.outcomes import CircuitReason, SmtpPhase, SmtpReply

_LOGIN_CODES = frozenset({432, 530, 534, 535, 538})  # RFC 4954 §6, RFC 5321 §3; 432 and 538: RFC 4954 §4, RFC 2554
_SHORT_OF_SERVICE = 454  # RFC 3207 and RFC 4954: TLS or the login is not available; relays use it for themselves
# RFC 3463 §3.4, the class of the mail system. Not X.3.3 and X.3.4: a feature or a size that this very mail asks for.
_SYSTEM_CODES = {
    "4.3.0": CircuitReason.SYSTEM,
    "4.3.1": CircuitReason.STORAGE,
    "4.3.2": CircuitReason.SYSTEM,
    "4.3.5": CircuitReason.SYSTEM,
}
_RELAY_POLICY = frozenset({None, "4.7.0", "4.7.1", "4.7.25", "4.7.28"})
# The first that matches counts. Only asked where there is no status code, or one that says no more than "a policy".
# Sources: the replies of Postfix, Exim, OpenSMTPD, Exchange, Gmail, Amazon SES, SendGrid and Mailgun that the test of
# this module lists, each with the phase in which it is said.
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
"""A reply that quotes another host says what that host thinks, and it may be anybody's."""
_OF_SENDER = re.compile(
    r"\bsender\b|\bmail from\b|\bfrom:? address|return[ -]?path|envelope[ -]from|sending (domain|address)"
    r"|\bverification failed for|\bsend ?as\b"
)
# At the dot the content was seen, and words about the sender may be about that. These are not. Exchange Online:
# 5.7.60, 5.2.252; Outlook.com: 5.7.515; Amazon SES: "Email address is not verified … identities failed the check".
_SENDER_CODES = frozenset({"5.7.515", "5.7.60", "5.2.252"})
_NOT_VERIFIED = re.compile(r"\bnot verified\b|identit(y|ies) failed")


def find_reported_fault(phase: SmtpPhase, reply: SmtpReply, *, sender: str, recipient: str) -> CircuitReason | None:
    """What a negative reply says about the relay or the sender; None if it is about the mail.

    At MAIL a refusal of the sender is no claim but certain: see `replies.judge`.
    """
    words = _normalize(reply.text)
    if _OTHERS_WORDS.search(words):
        return None
    if reply.code in _LOGIN_CODES:
        return CircuitReason.LOGIN
    if reply.code >= 500:  # noqa: PLR2004
        refused = phase is not SmtpPhase.MAIL and _may_be_about_sender(phase, reply, words)
        return CircuitReason.SENDER if refused and is_about_sender(words, sender=sender, recipient=recipient) else None
    return _find_relay_fault(reply, _ADDRESS.sub(" ", words))


def _find_relay_fault(reply: SmtpReply, words: str) -> CircuitReason | None:
    """What a 4yz says about the relay."""
    if reply.enhanced in _SYSTEM_CODES:
        return _SYSTEM_CODES[reply.enhanced]
    if reply.enhanced not in _RELAY_POLICY or _ABOUT_MAILBOX.search(words):
        return None
    for reason, pattern in _FAULT_PATTERNS.items():
        if pattern.search(words):
            return reason
    return CircuitReason.LOGIN if reply.code == _SHORT_OF_SERVICE else None


def is_about_sender(text: str, *, sender: str, recipient: str = "") -> bool:
    """True if the words name the envelope's sender, or its domain, as what is refused, and the recipient nowhere.

    Without a `recipient` none was named to the relay yet. Where sender and recipient are the same nothing can be told.
    """
    words, sender, recipient = _normalize(text), _normalize(sender), _normalize(recipient)
    if not sender or sender == recipient or (recipient and _mentions(words, recipient)):
        return False
    domain = email_address.get_address_domain(sender)
    named = _mentions(words, sender)
    if not named and domain != email_address.get_address_domain(recipient) and not _ADDRESS.search(words):
        named = _mentions(words, domain)
    rest = words.replace(sender, " ").replace(domain, " ")
    return named and (words.startswith((f"<{sender}>", f"<{domain}>")) or _mentions_sender(rest))


def _mentions_sender(words: str) -> bool:
    return bool(_OF_SENDER.search(words) or _NOT_VERIFIED.search(words))


def _may_be_about_sender(phase: SmtpPhase, reply: SmtpReply, words: str) -> bool:
    return phase is not SmtpPhase.BODY or reply.enhanced in _SENDER_CODES or bool(_NOT_VERIFIED.search(words))


def _mentions(words: str, name: str) -> bool:
    """True if an address or a domain stands in the words for itself, not as a part of another one."""
    return re.search(rf"(?<![\w.+-]){re.escape(name)}(?![\w-]|\.\w)", words) is not None


def _normalize(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
