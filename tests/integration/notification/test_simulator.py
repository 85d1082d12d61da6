"""Mail that never leaves: what the simulator makes of it, and that no relay ever hears of it, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from sqlalchemy import insert, select
from support import api_caller
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.auth import new_key, service_admin
from notifier.auth.new_key import NewKey
from notifier.db.tables import Suppression, WebhookEndpoint, WebhookEvent, get_columns
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.settings import RecipientsMode
from notifier.states import KeyKind


@dataclass(frozen=True)
class Scene:
    """A running sender, and a caller with a test key."""

    client: httpx2.AsyncClient
    running: wiring.RunningSender


async def _key(parts: wiring.ProcessParts, kind: KeyKind) -> str:
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        return (await new_key.insert_key(connection, shop, NewKey(kind=kind), now=parts.clock.now()))[1]


@pytest.fixture
async def scene(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[Scene]:
    """The shop with a test key, and a sender."""
    key = await _key(parts, KeyKind.TEST)
    async with installation.open_client(parts, key) as client, wiring.run_sender(parts) as running:
        yield Scene(client, running)


async def _told(parts: wiring.ProcessParts) -> list[str]:
    """What webhooks are to be told, in order."""
    event = get_columns(WebhookEvent)
    async with parts.database.read() as connection:
        return list((await connection.execute(select(event.type).order_by(event.sequence))).scalars())


async def _listen(parts: wiring.ProcessParts) -> None:
    """Give the shop a webhook endpoint, so that there is somebody to be told."""
    async with parts.database.write() as connection:
        values = {
            "id": generate_id(),
            "service_id": await service_admin.find_service(connection, "shop"),
            "events": [],
        }
        values |= {
            "url": "https://shop.example/hook",
            "secret": "s",
            "description": "",
            "created_at": parts.clock.now(),
        }
        await connection.execute(insert(WebhookEndpoint).values(values))


@pytest.mark.parametrize(
    ("recipient", "status", "detail"),
    [
        ("delivered@simulator.example", "delivered", "simulated: delivered"),
        ("Bounced+order-17@simulator.example", "bounced", "simulated: bounced"),
        ("complained@simulator.example", "complained", "simulated: complained"),
        ("whoever@simulator.example", "delivered", "simulated: delivered"),
        ("ada@example.com", "delivered", "simulated: delivered"),
    ],
)
async def test_what_is_accepted_and_then_heard_of(
    scene: Scene, relay: ScriptedRelay, recipient: str, status: str, detail: str
) -> None:
    """The one attempt was accepted by the simulator, the status is what the name asks for, and nobody was called."""
    found = await api_caller.wait_for_status(
        scene.client, await api_caller.submit_mail(scene.client, recipient), status
    )
    (attempt,) = found["attempts"]
    assert (attempt["relay"], attempt["outcome"], attempt["code"]) == ("simulator", "accepted", 250)
    assert (found["detail"], found["reason"]) == (detail, None)
    assert relay.connections == 0


async def test_each_step_is_told(parts: wiring.ProcessParts, scene: Scene) -> None:
    """A webhook hears that it was sent, and then that it bounced."""
    await _listen(parts)
    path = await api_caller.submit_mail(scene.client, "bounced@simulator.example")
    await api_caller.wait_for_status(scene.client, path, "bounced")
    assert await _told(parts) == ["notification.sent", "notification.bounced"]


async def test_a_deferred_one_is_sent_by_the_schedule(
    parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay
) -> None:
    """Deferred once, due again by the schedule, and then sent."""
    path = await api_caller.submit_mail(scene.client, "deferred@simulator.example")
    found = await api_caller.wait_for_status(scene.client, path, "deferred")
    assert (found["reason"], found["next_attempt_at"] > found["created_at"]) == ("temporary_refusal", True)
    await api_caller.make_due(parts.database)
    found = await api_caller.wait_for_status(scene.client, path, "sent")
    assert [one["outcome"] for one in found["attempts"]] == ["deferred", "accepted"]
    assert relay.connections == 0


async def test_a_failed_one_suppresses_nobody(parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay) -> None:
    """It fails with the words of a relay that knows no such mailbox, and the next one is tried all the same."""
    for _ in range(2):
        path = await api_caller.submit_mail(scene.client, "failed@simulator.example")
        found = await api_caller.wait_for_status(scene.client, path, "failed")
        assert (found["reason"], found["attempts"][0]["enhanced_code"]) == ("recipient_refused", "5.1.1")
    async with parts.database.read() as connection:
        assert (await connection.execute(select(Suppression))).all() == []
    assert relay.connections == 0


async def test_an_unknown_one_stays_unknown(parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay) -> None:
    """No reply after the dot, and none to the resend either."""
    path = await api_caller.submit_mail(scene.client, "unknown@simulator.example")
    await api_caller.wait_for_status(scene.client, path, "unknown")
    await api_caller.make_due(parts.database)
    found = await api_caller.wait_for_attempts(scene.client, path, 2)
    assert (found["status"], found["attempts"][1]["outcome"], relay.connections) == ("unknown", "uncertain", 0)


@pytest.mark.parametrize("kind", [KeyKind.LIVE, KeyKind.TEAM])
async def test_the_simulators_domain_is_simulated_whatever_the_key(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay, kind: KeyKind
) -> None:
    """A live and a team key may mail it, no allow-list forbids it, and it does not leave."""
    strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("ada@example.com",)})
    key = await _key(parts, kind)
    async with strict.open_parts() as narrow, strict.open_client(narrow, key) as client, wiring.run_sender(narrow):
        found = await api_caller.wait_for_status(
            client, await api_caller.submit_mail(client, "bounced@simulator.example"), "bounced"
        )
        stranger = await client.post("/v1/notifications", json=WELCOME | {"to": "eve@example.com"})
    assert found["attempts"][0]["relay"] == "simulator"
    assert (stranger.status_code, stranger.json()["code"]) == (422, "recipient_not_allowed")
    assert relay.connections == 0


async def test_a_test_key_needs_no_allow_list(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """What reaches nobody may name anybody, in a copy too; what a live key left behind for a stranger fails."""
    strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("ada@example.com",)})
    test, live = await _key(parts, KeyKind.TEST), await _key(parts, KeyKind.LIVE)
    async with installation.open_client(parts, live) as client:
        left = await api_caller.submit_mail(client, "eve@example.com")
    async with strict.open_parts() as narrow, strict.open_client(narrow, test) as client:
        path = await api_caller.submit_mail(client, "eve@example.com", cc=["bob@example.com"])
        because = [
            [one["code"] for one in (await client.get(f"{it}/explain")).json()["because"]] for it in (path, left)
        ]
        assert ["recipients_mode" in codes for codes in because] == [False, True]
        async with wiring.run_sender(narrow):
            found = await api_caller.wait_for_status(client, path, "delivered")
            await api_caller.wait_for_status(client, f"/v1/notifications/{found['copies'][0]['id']}", "delivered")
            assert (await api_caller.wait_for_status(client, left, "failed"))["reason"] == "recipient_not_allowed"
    assert relay.connections == 0


async def test_a_live_key_still_reaches_the_relay(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """What is not simulated leaves as ever; copies are judged each for itself."""
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "ada@example.com", cc=["bounced@simulator.example"])
        await api_caller.wait_for_status(client, path, "sent")
        await relay.wait_for(1)
        await api_caller.wait_until_drained(parts.database)
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]


async def test_a_simulated_mail_teaches_nothing_about_the_relay(
    installation: Installation, parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay
) -> None:
    """While the relay is away a test mail that is claimed as the probe is delivered, and the circuit stays open."""
    await relay.stop()
    async with installation.open_client(parts) as live:
        path = await api_caller.submit_mail(live, "bob@example.com")
        await api_caller.wait_until(lambda: scene.running.deliverer.relay.is_open)
        assert (await live.post(f"{path}/cancel")).json()["status"] == "cancelled"
    for _ in range(2):
        await api_caller.wait_for_status(scene.client, await api_caller.submit_mail(scene.client), "delivered")
    assert scene.running.deliverer.relay.is_open


async def test_a_cancelled_test_mail_is_not_delivered(parts: wiring.ProcessParts, scene: Scene) -> None:
    """One that was cancelled before its time stays so, and nothing of it is left to do."""
    later = "2027-01-01T00:00:00Z"
    path = await api_caller.submit_mail(scene.client, "delivered@simulator.example", send_at=later)
    assert (await scene.client.post(f"{path}/cancel")).json()["status"] == "cancelled"
    await api_caller.wait_for_status(scene.client, await api_caller.submit_mail(scene.client), "delivered")
    assert (await scene.client.get(path)).json()["status"] == "cancelled"
    assert await api_caller.count_entries(parts.database) == 0
