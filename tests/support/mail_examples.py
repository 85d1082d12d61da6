"""Mails for the pages of the console: unknown, refused, scheduled, and with the words of strangers in every field."""

from datetime import timedelta

from notifier import suppression
from notifier.audit import Actor
from notifier.db.tables import INSTANCE
from notifier.runtime import wiring
from notifier.runtime.wiring import ProcessParts
from notifier.states import SuppressionReason, SuppressionScope
from notifier.suppression import NewSuppression
from support import api_caller
from support.hostile_words import MAILS, build_hostile_mail, list_shares
from support.scripted_relay import DROP, ScriptedRelay
from support.seeded_installation import WELCOME, Installation

REFUSED_ADDRESS = "gone@example.com"
ALSO_REFUSED = ("gone.since-long.and-far-away@customers.example.com", "gone.keyboard@example.com")
LOST = ("bob@example.com", "uma@example.com")
"""Their mails are `unknown`."""
SCHEDULED_FOR = timedelta(days=9)
SCHEDULED = (
    *("scheduled_mail", "mail_to_stop", "mail_to_stop_too", "mail_to_watch"),
    *(f"mail_to_comment_{number}" for number in range(MAILS)),
)


async def send_examples(installation: Installation, parts: ProcessParts, relay: ScriptedRelay) -> dict[str, str]:
    """Send the examples by a relay that refuses some, and drops the connection of others; return their ids by name."""
    addresses = (REFUSED_ADDRESS, *ALSO_REFUSED)
    for address in addresses:
        relay.say(address, "RCPT", f"550 5.1.1 <{address}>: Recipient address rejected: User unknown")
    later = (parts.clock.now() + SCHEDULED_FOR).isoformat()
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        for address in LOST:
            relay.say(address, "DOT", DROP)
        lost = [await api_caller.submit_mail(client, address) for address in LOST]
        for path in lost:
            await api_caller.wait_for_status(client, path, "unknown")
        refused = [await api_caller.submit_mail(client, address) for address in addresses]
        scheduled = [await client.post("/v1/notifications", json=WELCOME | {"send_at": later}) for _ in SCHEDULED]
        hostile = []
        for number, words in enumerate(list_shares()):
            address = f"mallory{number}@example.com"
            relay.say(address, "RCPT", f"550 5.7.1 {' '.join(words)}")
            posted = await client.post("/v1/notifications", json=build_hostile_mail(address, words))
            assert posted.status_code == 202, posted.text
            hostile.append(f"/v1/notifications/{posted.json()['id']}")
            await _suppress(parts, address, " ".join(words))
        for path in (*refused, *hostile):
            await api_caller.wait_for_status(client, path, "failed")
    named = {name: str(reply.json()["id"]) for name, reply in zip(SCHEDULED, scheduled, strict=True)}
    named |= {f"hostile_mail_{number}": path.rpartition("/")[2] for number, path in enumerate(hostile)}
    return named | {
        "unknown_mail": lost[0].rpartition("/")[2],
        "refused_mail": refused[0].rpartition("/")[2],
        "refused_address": REFUSED_ADDRESS,
        "hostile_mail": named["hostile_mail_0"],
    }


async def _suppress(parts: ProcessParts, address: str, detail: str) -> None:
    """Suppress an address for marketing, with a comment."""
    new = NewSuppression(
        address=address,
        service_id=INSTANCE,
        scope=SuppressionScope.MARKETING,
        reason=SuppressionReason.REQUESTED,
        detail=detail,
        created_by="operator:test",
    )
    async with parts.database.write() as connection:
        actor = Actor(name=new.created_by, at=parts.clock.now())
        await suppression.add_suppression(connection, new, actor=actor)
