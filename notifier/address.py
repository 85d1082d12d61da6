"""E-mail addresses: what is accepted, and the one form in which each is stored and compared."""

import re
from email.utils import parseaddr

from email_validator import EmailNotValidError, validate_email

from notifier.errors import NotifierError

_BRACKETED = re.compile(r'^(?P<name>"(?:[^"\\]|\\.)*"|[^<>]*?)\s*<(?P<address>[^<>]+)>$', re.DOTALL)


class InvalidAddressError(NotifierError):
    """Not an address that mail can be sent to."""


class NeedsSmtputf8Error(InvalidAddressError):
    """The part before the @ has non-ASCII characters, which the relay cannot take."""


def normalised(text: str) -> str:
    """The address as stored and put on the wire: domain in lower case, an international one as A-label (RFC 5890).

    Raises `InvalidAddressError` for anything but exactly one bare address with a public domain.
    """
    try:
        valid = validate_email(text, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise InvalidAddressError(str(error)) from error
    if valid.ascii_email is None:
        raise NeedsSmtputf8Error
    return valid.ascii_email


def with_name(text: str) -> tuple[str | None, str]:
    """Display name and normalised address of `Name <a@b.org>` or `a@b.org` (RFC 5322 §3.4, one mailbox)."""
    found = _BRACKETED.match(text)
    if not found:
        return None, normalised(text)
    name = parseaddr(f"{found['name']} <a@b.c>")[0] if found["name"].startswith('"') else found["name"]
    return name or None, normalised(found["address"])


def key(address: str) -> str:
    """The form in which addresses are compared: mailboxes that differ only in case are one person's."""
    return address.lower()


def domain(address: str) -> str:
    """The part after the @."""
    return address.rpartition("@")[2]
