"""Which recipients this instance mails, by its setting: checked at submit and again before each send."""

from dataclasses import dataclass

from notifier import email_address
from notifier.settings import RecipientsMode, RecipientsSettings, SmtpSettings

ORIGINAL_TO_HEADER = "X-Notifier-Original-To"


@dataclass(frozen=True, kw_only=True)
class RecipientPolicy:
    """`live`, `allow` or `redirect`, with its list or address."""

    mode: RecipientsMode
    allowed: frozenset[str]  # keys of addresses, and domains as "@example.org"
    allows_everyone: bool  # mode `allow`, empty list, loopback relay: nothing leaves this machine
    redirect_to: str | None

    @classmethod
    def from_settings(cls, settings: RecipientsSettings, smtp: SmtpSettings) -> "RecipientPolicy":
        """The policy of these settings."""
        return cls(
            mode=settings.mode,
            allowed=frozenset(email_address.get_address_key(entry) for entry in settings.allow),
            allows_everyone=not settings.allow and smtp.is_loopback,
            redirect_to=settings.redirect_to,
        )

    def allows(self, recipient: str) -> bool:
        """True if mail to this address may be accepted and sent (in mode `redirect`: sent elsewhere)."""
        if (
            self.mode is not RecipientsMode.ALLOW
            or self.allows_everyone
            or email_address.is_simulated_address(recipient)
        ):
            return True
        key = email_address.get_address_key(recipient)
        return key in self.allowed or f"@{email_address.get_address_domain(key)}" in self.allowed

    def envelope_to(self, recipient: str) -> str:
        """The address that the relay is given."""
        return self.redirect_to if self.mode is RecipientsMode.REDIRECT and self.redirect_to else recipient

    def explain_refusal(self) -> str:
        """Why an address was refused, naming the setting."""
        return (
            "this instance only mails the addresses in NOTIFIER_RECIPIENTS__ALLOW;"
            " set NOTIFIER_RECIPIENTS__MODE=live to mail everyone"
        )
