"""What is known about an address: whether it may be mailed, if not why and since when, and the last mail to it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier import email_address, suppression
from notifier.email_address import RecipientPolicy
from notifier.lookup import notification_search
from notifier.lookup.index_walk import NotificationFilter
from notifier.lookup.notification_search import PageRequest
from notifier.lookup.notification_view import NotificationView
from notifier.states import Status
from notifier.suppression import SuppressionFilter, SuppressionView

MAX_SUPPRESSIONS = 20
MAX_LOOKED_AT = 200
"""Mails that are looked at for one that a mail server has accepted."""


@dataclass(frozen=True, kw_only=True)
class AddressCard:
    """An address, and what holds for it now."""

    address: str
    refusal: str | None  # why this installation mails it never; None: it may
    suppressions: list[SuppressionView]  # of the instance and of services, newest first
    last_accepted: NotificationView | None


async def get_address_card(
    connection: AsyncConnection, address: str, policy: RecipientPolicy, now: datetime
) -> AddressCard:
    """Get what is known about a normalised address."""
    key = email_address.get_address_key(address)
    filters = SuppressionFilter(address=key, lasting_after=now)
    accepted = await notification_search.search_notifications(
        connection,
        None,
        NotificationFilter(to=address, status=Status.SENT, copies=True),
        PageRequest(limit=1, max_rows=MAX_LOOKED_AT),
        now=now,
    )
    return AddressCard(
        address=address,
        refusal=None if policy.allows(address) else policy.explain_refusal(),
        suppressions=await suppression.list_all_suppressions(connection, filters, before=None, limit=MAX_SUPPRESSIONS),
        last_accepted=next(iter(accepted.views), None),
    )
