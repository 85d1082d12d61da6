"""E-mail addresses: what is accepted, and the one form in which each is stored and compared."""

import re
from email.utils import parseaddr
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES, EMAIL_MAX_LENGTH

from notifier.errors import NotifierError

# Most addresses: of these the library would change nothing but the domain's case, and only the domain can be refused.
_PLAIN = re.compile(
    r"(?P<local>(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>(?!.*--)[A-Za-z0-9.-]+)"
)
_RENAMED = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)
"""Mailboxes that the library writes in lower case (RFC 2142)."""
_BRACKETED = re.compile(r'^(?P<name>"(?:[^"\\]|\\.)*"\s*+|[^<>]*)<(?P<address>[^<>]+)>$', re.DOTALL)


SIMULATOR_DOMAIN = "simulator.example"
"""Mail to this domain never leaves: its outcome is simulated, and the name before the @ says which."""


class InvalidAddressError(NotifierError):
    """Not an address that mail can be sent to."""


class NeedsSmtputf8Error(InvalidAddressError):
    """The part before the @ has non-ASCII characters, which the relay cannot take."""


def normalise_address(text: str) -> str:
    """Normalise an address as it is stored and sent: domain in lower case, an international one as A-label (RFC 5890).

    Raises `InvalidAddressError` for anything but exactly one bare address with a public domain.
    """
    plain = _PLAIN.fullmatch(text)
    if plain and len(text) <= EMAIL_MAX_LENGTH and plain["local"].lower() not in _RENAMED:
        return f"{plain['local']}@{_normalise_domain(plain['domain'])}"
    return _validate_address(text)


@lru_cache(maxsize=4096)
def _normalise_domain(text: str) -> str:
    """The domain as stored; cached, because the library is slow."""
    return get_address_domain(_validate_address(f"a@{text}"))


def _validate_address(text: str) -> str:
    try:
        valid = validate_email(text, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise InvalidAddressError(str(error)) from error
    if valid.ascii_email is None:
        raise NeedsSmtputf8Error
    return valid.ascii_email


def parse_named_address(text: str) -> tuple[str | None, str]:
    """Parse `Name <a@b.org>` or `a@b.org` into display name and normalised address (RFC 5322 §3.4, one mailbox)."""
    match = _BRACKETED.match(text)
    if not match:
        return None, normalise_address(text)
    name = match["name"].rstrip()
    name = parseaddr(f"{name} <a@b.c>")[0] if name.startswith('"') else name
    return name or None, normalise_address(match["address"])


def get_address_key(address: str) -> str:
    """Get the form in which addresses are compared: mailboxes that differ only in case are one person's."""
    return address.lower()


def get_address_domain(address: str) -> str:
    """Get the part after the @."""
    return address.rpartition("@")[2]


def is_simulated_address(address: str) -> bool:
    """True if mail to this address never leaves."""
    return get_address_domain(address).lower() == SIMULATOR_DOMAIN
