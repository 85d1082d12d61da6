"""The meaning of SMTP reply codes in plain words (RFC 3463, RFC 5321 §4.2, and the IANA list of status codes).

It only explains. What a reply means for a mail is decided in `notifier.smtp.reply_meaning`.
"""

import re

_MEANINGS = {
    # Address, X.1
    "1.1": "this address does not exist",
    "1.2": "there is no such domain",
    "1.3": "the address is written in a way that the server does not accept",
    "1.4": "the address matches several mailboxes",
    "1.6": "the mailbox has moved, and left no new address",
    "1.7": "the sender's address is written in a way that the server does not accept",
    "1.8": "the server does not know the sender's domain",
    "1.9": "the mail was handed on to a server that cannot take it",
    "1.10": "this domain accepts no mail at all",
    # Mailbox, X.2
    "2.0": "something is wrong with the mailbox",
    "2.1": "the mailbox is closed",
    "2.2": "the mailbox is full",
    "2.3": "the mail is larger than this mailbox accepts",
    "2.4": "the mailing list could not be expanded",
    # The other mail system, X.3
    "3.0": "the other mail system has a fault",
    "3.1": "the other mail system has no space left",
    "3.2": "the other mail system accepts no mail at the moment",
    "3.3": "the other mail system lacks a feature that this mail needs",
    "3.4": "the mail is too large",
    "3.5": "the other mail system is set up wrongly",
    "3.6": "the priority of the mail was changed",
    # Network and routing, X.4
    "4.0": "the mail could not be passed on",
    "4.1": "the next mail server does not answer",
    "4.2": "the connection to the next mail server broke",
    "4.3": "a directory that the server needs does not answer",
    "4.4": "the server knows no way to this domain",
    "4.5": "the server has too much mail at the moment",
    "4.6": "the mail went round in a circle",
    "4.7": "the server tried for too long without success",
    # Protocol, X.5
    "5.0": "the servers did not understand each other",
    "5.1": "the server does not know this command",
    "5.2": "the server could not read the command",
    "5.3": "the mail has too many recipients",
    "5.4": "the server could not read a part of the command",
    "5.5": "the servers speak different versions of the protocol",
    "5.6": "the login took too many bytes",
    # Content, X.6
    "6.0": "the content of the mail is not accepted",
    "6.1": "this kind of content is not accepted",
    "6.2": "the content would have to be converted, and may not be",
    "6.3": "the content would have to be converted, and cannot be",
    "6.4": "the content was converted, and something was lost",
    "6.5": "the content could not be converted",
    "6.6": "the content of the mail cannot be read there",
    "6.7": "the server does not accept addresses with letters outside ASCII",
    "6.8": "the server's reply needs letters outside ASCII",
    "6.9": "the header has letters outside ASCII that the server cannot convert",
    "6.10": "the server does not accept addresses with letters outside ASCII",
    # Security and rules, X.7
    "7.0": "refused for a security reason",
    "7.1": "refused by a rule over there",
    "7.2": "only members may write to this mailing list",
    "7.3": "the security of the mail would have to be converted, and cannot be",
    "7.4": "a security feature is not supported there",
    "7.5": "the encryption failed",
    "7.6": "the encryption method is not supported there",
    "7.7": "the mail was changed on its way",
    "7.8": "our user name or password is wrong",
    "7.9": "our way to log in is too weak for the server",
    "7.10": "the server asks for encryption",
    "7.11": "the server asks for encryption before we log in",
    "7.12": "our password must be changed",
    "7.13": "our account there is disabled",
    "7.14": "a trust relation with another server is missing",
    "7.15": "the priority of the mail is too low",
    "7.16": "the mail is too large for its priority",
    "7.17": "the mailbox has a new owner since the address was confirmed",
    "7.18": "the domain has a new owner since the address was confirmed",
    "7.19": "the server cannot check since when the address has its owner",
    "7.20": "no DKIM signature of ours is valid",
    "7.21": "no DKIM signature of ours is acceptable",
    "7.22": "the DKIM signature is not by the author's domain",
    "7.23": "our domain's SPF record does not allow this server",
    "7.24": "our domain's SPF record could not be checked",
    "7.25": "the name of our server does not match its address (reverse DNS)",
    "7.26": "our domain's SPF or DKIM is not set up",
    "7.27": "our domain says that it accepts no mail (null MX)",
    "7.28": "too much mail came from us in a short time",
    "7.29": "a server on the way broke its seal (ARC)",
    "7.30": "the server asks for encryption all the way to the recipient",
    "7.60": "we may not send from this address",
    "7.515": "our domain's SPF, DKIM or DMARC is not set up",
}
"""By subject and detail, the last two numbers of the status code."""
_FOR_NOW = {
    "2.0": "the mailbox takes no mail at the moment",
    "2.1": "the mailbox takes no mail at the moment",
    "7.0": "try again later",
    "7.1": "refused for now by a rule over there; a second try often gets through",
    "1.1": "the address takes no mail at the moment",
    "1.2": "the domain cannot be found at the moment",
    "1.8": "the sender's domain cannot be found at the moment",
}
"""Where a temporary refusal (4.X.X) means something else."""
_CODES = {
    421: "the server is busy, or closing",
    432: "our password must be changed",
    450: "the mailbox is busy, or this is greylisting: a second try usually gets through",
    451: "the other mail system had a fault while it worked on the mail",
    452: "the other mail system has no space left, or the mail has too many recipients",
    454: "encryption or login does not work there at the moment",
    521: "this server accepts no mail at all",
    530: "the server asks us to log in first",
    534: "our way to log in is too weak for the server",
    535: "our user name or password is wrong",
    538: "the server asks for encryption before we log in",
    551: "the mailbox is at another place",
    552: "the mail is too large, or the mailbox is full",
    553: "the server does not accept the address",
    556: "this domain accepts no mail at all",
}
"""For replies without a status code. Not 550 and 554, which servers use for everything."""
_REPLY = re.compile(r"(?:^|: )([45]\d\d)(?: ([45]\.\d{1,3}\.\d{1,3}))?(?: |$)")


def get_meaning(code: int | None, enhanced: str | None) -> str | None:
    """Return what a refusal means, as words that follow "the mail server says:"; None if the codes do not tell."""
    if enhanced:
        kind, _, topic = enhanced.partition(".")
        meaning = _FOR_NOW.get(topic) if kind == "4" else None
        meaning = meaning or (_MEANINGS.get(topic) if kind in ("4", "5") else None)
        if meaning is not None:
            return meaning
    return _CODES.get(code) if code is not None else None


def parse_reply_meaning(text: str) -> str | None:
    """Return the meaning of a reply that is written in a text as `SmtpReply` prints it; None if there is none."""
    match = _REPLY.search(text)
    return get_meaning(int(match[1]), match[2]) if match else None
