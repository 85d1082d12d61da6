"""What a caller may do with mail: its recipients, its senders, and the notifications that it may change.

Checked at submit, and again for a change after which a mail could leave.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement

from notifier import email_address
from notifier.auth.authenticated_key import Caller
from notifier.auth.service_admin import may_send_from
from notifier.db.tables import Notification, get_columns
from notifier.errors import Fault, InvalidRequestError
from notifier.recipient_policy import RecipientPolicy
from notifier.states import KeyKind

_notification = get_columns(Notification)


@dataclass(frozen=True, kw_only=True)
class MailRights:
    """The rights of one caller on this instance."""

    caller: Caller
    policy: RecipientPolicy
    own_sender: str  # the instance's address, from which every service may send

    def get_conditions(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """SQL conditions for the notifications that the caller may change: its service's, of kinds within its reach."""
        return _notification.service_id == self.caller.service_id, _notification.kind.in_(self.caller.kinds_in_reach)

    def find_recipient_fault(self, recipient: str, kind: KeyKind, pointer: str = "") -> Fault | None:
        """Why mail of this kind of key must not go to the address; mail of a test key never leaves."""
        if kind is KeyKind.TEST:
            return None
        if not self.policy.allows(recipient):
            return Fault(pointer, "recipient_not_allowed", self.policy.explain_refusal())
        if not self.caller.may_mail(recipient):
            service = self.caller.service_name
            detail = f"a team key only mails the service's own people; {service} has not named this address"
            return Fault(pointer, "recipient_not_allowed", detail)
        return None

    def find_sender_fault(self, sender: str, pointer: str = "", because: str = "") -> Fault | None:
        """Why the service must not send from the address; `because` is added at the end."""
        if may_send_from(sender, self.own_sender, self.caller.from_domains):
            return None
        domain = email_address.get_address_domain(sender)
        detail = f"the service {self.caller.service_name} may not send from {domain}{because}"
        return Fault(pointer, "from_not_allowed", detail)

    def require_sendable(self, rows: Iterable[Any]) -> None:
        """Raise `InvalidRequestError` if one of these notifications could not be submitted by the caller today.

        Each row has `recipient`, `from_address` and `kind`.
        """
        for row in rows:
            fault = self.find_recipient_fault(row.recipient, row.kind) or self.find_sender_fault(row.from_address)
            if fault is not None:
                raise InvalidRequestError([fault])
