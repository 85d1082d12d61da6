"""The From address of the instance, for mails that name no other."""

from dataclasses import dataclass

from notifier import email_address
from notifier.errors import ConfigurationError
from notifier.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DefaultSender:
    """Who mail comes from unless a notification says otherwise."""

    name: str | None
    address: str
    bounce_address: str | None  # envelope sender; None: the From address


def get_default_sender(settings: Settings) -> DefaultSender:
    """Parse the sender of the settings. Raises `ConfigurationError` if it is not an address."""
    try:
        name, sender = email_address.parse_named_address(settings.from_)
        bounce = email_address.normalise_address(settings.bounce_address) if settings.bounce_address else None
    except email_address.InvalidAddressError as error:
        raise ConfigurationError(f"NOTIFIER_FROM or NOTIFIER_BOUNCE_ADDRESS: {error}") from error
    return DefaultSender(name=name, address=sender, bounce_address=bounce)
