"""The whole trip inside one process, on both databases, through a real relay."""

from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring


async def test_a_post_becomes_a_mail(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A POST is answered 202, the mail arrives, and the GET says how."""
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        reply = await client.post("/v1/notifications", json=WELCOME)
        assert reply.status_code == 202
        (mail,) = await relay.wait_for(1)
    async with installation.open_client(parts) as client:
        found = (await client.get(reply.headers["location"])).json()
    assert mail.recipient == "ada@example.com"
    assert mail.message["Subject"] == "Welcome to Larkspur, Ada"
    assert found["status"] == "sent"
    assert found["attempts"][0] | {"duration_ms": 0, "started_at": ""} == {
        "number": 1,
        "started_at": "",
        "duration_ms": 0,
        "relay": "127.0.0.1",
        "phase": "body",
        "outcome": "accepted",
        "code": 250,
        "enhanced_code": "2.0.0",
        "meaning": None,
        "reply": "queued",
    }
