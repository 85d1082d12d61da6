"""Mails for the pages of the console: refused, scheduled, and with the words of strangers in every field."""

from datetime import timedelta

from notifier.runtime import wiring
from notifier.runtime.wiring import ProcessParts
from support import api_caller
from support.hostile_words import HOSTILE, build_hostile_mail
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

REFUSED_ADDRESS = "gone@example.com"
SCHEDULED_FOR = timedelta(days=9)


async def send_examples(installation: Installation, parts: ProcessParts, relay: ScriptedRelay) -> dict[str, str]:
    """Send the examples by a relay that refuses some; return their ids by name."""
    hostile = "mallory@example.com"
    relay.say(REFUSED_ADDRESS, "RCPT", f"550 5.1.1 <{REFUSED_ADDRESS}>: Recipient address rejected: User unknown")
    relay.say(hostile, "RCPT", f"550 5.7.1 {HOSTILE[0]} {HOSTILE[1]} {HOSTILE[2]}")
    later = (parts.clock.now() + SCHEDULED_FOR).isoformat()
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        refused = await api_caller.submit_mail(client, REFUSED_ADDRESS)
        scheduled = [await client.post("/v1/notifications", json=WELCOME | {"send_at": later}) for _ in range(3)]
        posted = await client.post("/v1/notifications", json=build_hostile_mail(hostile))
        assert posted.status_code == 202, posted.text
        for path in (refused, f"/v1/notifications/{posted.json()['id']}"):
            await api_caller.wait_for_status(client, path, "failed")
    return {
        "refused_mail": refused.rpartition("/")[2],
        "refused_address": REFUSED_ADDRESS,
        "scheduled_mail": str(scheduled[0].json()["id"]),
        "mail_to_stop": str(scheduled[1].json()["id"]),
        "mail_to_stop_too": str(scheduled[2].json()["id"]),
        "hostile_mail": str(posted.json()["id"]),
    }
