"""What an instance demands of every request, as its settings say."""

from dataclasses import dataclass
from datetime import timedelta

from notifier.auth.keys import Caller
from notifier.default_sender import DefaultSender
from notifier.notification.recipients import RecipientPolicy
from notifier.notification.rights import MailRights
from notifier.settings import ApiSettings


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What this instance demands of every request."""

    identity: DefaultSender
    policy: RecipientPolicy
    key_lasts: timedelta  # for how long an idempotency key stands for its notification
    allowed_headers: tuple[str, ...]  # custom ones, as `header_names.is_allowed` takes them

    @classmethod
    def of(cls, settings: ApiSettings, identity: DefaultSender, policy: RecipientPolicy) -> "Terms":
        """The terms that the settings ask for."""
        lasts = timedelta(days=settings.idempotency_days)
        return cls(identity=identity, policy=policy, key_lasts=lasts, allowed_headers=settings.allowed_headers)

    def rights_of(self, caller: Caller) -> MailRights:
        """What the caller may do with mail on these terms."""
        return MailRights(caller=caller, policy=self.policy, own_sender=self.identity.address)
