"""E-mail addresses: what is accepted, the one form in which each is stored and compared, whom this instance mails."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES, EMAIL_MAX_LENGTH

from notifier.errors import ConfigurationError, NotifierError
from notifier.settings import RecipientsMode, RecipientsSettings, Settings
from notifier.smtp_settings import SmtpSettings

# Most addresses. Of these the library changes only the case of the domain, and refuses only the domain.
_PLAIN = re.compile(
    r"(?P<local>(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>(?!.*--)[A-Za-z0-9.-]+)"
)
_RENAMED = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)
"""Mailboxes that the library writes in lower case (RFC 2142)."""
_FROM_ADVICE = "Write ada@example.com, or Shop <orders@shop.example>."
_BRACKETED = re.compile(r'^(?P<name>"(?:[^"\\]|\\.)*"\s*+|[^<>]*)<(?P<address>[^<>]+)>$', re.DOTALL)
SIMULATOR_DOMAIN = "simulator.example"
"""Mail to this domain is never sent: its outcome is simulated, and the name before the @ says which outcome."""
ORIGINAL_TO_HEADER = "X-Notifier-Original-To"


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
    """Normalise a domain; cached, because the library is slow."""
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
    """Get the form in which addresses are compared: addresses that differ only in case are the same mailbox."""
    return address.lower()


def get_address_domain(address: str) -> str:
    """Get the part after the @."""
    return address.rpartition("@")[2]


def is_simulated_address(address: str) -> bool:
    """True if mail to this address never leaves."""
    return get_address_domain(address).lower() == SIMULATOR_DOMAIN


def is_address_listed(address: str, entries: Collection[str]) -> bool:
    """True if the entries have the address or its domain: keys of addresses, and domains as "@example.org"."""
    key = get_address_key(address)
    return key in entries or f"@{get_address_domain(key)}" in entries


@dataclass(frozen=True, kw_only=True)
class RecipientPolicy:
    """Which recipients this instance mails, by its settings: checked at submit and again before each send."""

    mode: RecipientsMode
    allowed: frozenset[str]  # keys of addresses, and domains as "@example.org"
    allows_everyone: bool  # mode `allow`, empty list, loopback relay: nothing leaves this machine
    redirect_to: str | None

    @classmethod
    def from_settings(cls, settings: RecipientsSettings, smtp: SmtpSettings) -> "RecipientPolicy":
        """Build the policy from the settings."""
        return cls(
            mode=settings.mode,
            allowed=frozenset(get_address_key(entry) for entry in settings.allow),
            allows_everyone=not settings.allow and smtp.is_loopback,
            redirect_to=settings.redirect_to,
        )

    def allows(self, recipient: str) -> bool:
        """True if mail to this address may be accepted and sent (in mode `redirect`: sent elsewhere)."""
        if self.mode is not RecipientsMode.ALLOW or self.allows_everyone or is_simulated_address(recipient):
            return True
        return is_address_listed(recipient, self.allowed)

    def envelope_to(self, recipient: str) -> str:
        """Return the address that is given to the relay."""
        return self.redirect_to if self.mode is RecipientsMode.REDIRECT and self.redirect_to else recipient

    def explain_refusal(self) -> str:
        """Say why an address was refused, with the setting that decides."""
        return (
            "this instance only mails the addresses in NOTIFIER_RECIPIENTS__ALLOW;"
            " set NOTIFIER_RECIPIENTS__MODE=live to mail everyone"
        )


@dataclass(frozen=True, kw_only=True)
class DefaultSender:
    """The From address of the instance, for mails that name no other."""

    name: str | None
    address: str
    bounce_address: str | None  # envelope sender; None: the From address


def get_default_sender(settings: Settings) -> DefaultSender:
    """Parse the sender of the settings. Raises `ConfigurationError` if it is not an address."""
    try:
        name, sender = parse_named_address(settings.from_)
        bounce = normalise_address(settings.bounce_address) if settings.bounce_address else None
    except InvalidAddressError as error:
        raise ConfigurationError(f"NOTIFIER_FROM or NOTIFIER_BOUNCE_ADDRESS: {error} {_FROM_ADVICE}") from error
    return DefaultSender(name=name, address=sender, bounce_address=bounce)
