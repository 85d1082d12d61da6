"""Mail that never leaves: what the simulator makes of it, and that no relay ever hears of it, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from parts import caller
from parts.installation import WELCOME, Installation
from parts.relay import Relay
from sqlalchemy import insert, select

from notifier import wiring
from notifier.auth import keys
from notifier.auth.keys import Wish
from notifier.db.tables import Suppression, WebhookEndpoint, WebhookEvent, columns
from notifier.ids import new_id
from notifier.settings import RecipientsMode
from notifier.states import KeyKind


@dataclass(frozen=True)
class Scene:
    """A running sender, and a caller with a test key."""

    client: httpx2.AsyncClient
    running: wiring.Sender


async def _key(parts: wiring.Base, kind: KeyKind) -> str:
    async with parts.database.write() as connection:
        shop = await keys.find_service(connection, "shop")
        return (await keys.issue(connection, shop, Wish(kind=kind), now=parts.clock.now()))[1]


@pytest.fixture
async def scene(installation: Installation, parts: wiring.Base) -> AsyncIterator[Scene]:
    """The shop with a test key, and a sender."""
    key = await _key(parts, KeyKind.TEST)
    async with installation.client(parts, key) as client, wiring.sender(parts) as running:
        yield Scene(client, running)


async def _told(parts: wiring.Base) -> list[str]:
    """What webhooks are to be told, in order."""
    event = columns(WebhookEvent)
    async with parts.database.read() as connection:
        return list((await connection.execute(select(event.type).order_by(event.sequence))).scalars())


async def _listen(parts: wiring.Base) -> None:
    """Give the shop a webhook endpoint, so that there is somebody to be told."""
    async with parts.database.write() as connection:
        values = {"id": new_id(), "service_id": await keys.find_service(connection, "shop"), "events": []}
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
    scene: Scene, relay: Relay, recipient: str, status: str, detail: str
) -> None:
    """The one attempt was accepted by the simulator, the status is what the name asks for, and nobody was called."""
    found = await caller.until(scene.client, await caller.submit(scene.client, recipient), status)
    (attempt,) = found["attempts"]
    assert (attempt["relay"], attempt["outcome"], attempt["code"]) == ("simulator", "accepted", 250)
    assert (found["detail"], found["reason"]) == (detail, None)
    assert relay.connections == 0


async def test_each_step_is_told(parts: wiring.Base, scene: Scene) -> None:
    """A webhook hears that it was sent, and then that it bounced."""
    await _listen(parts)
    path = await caller.submit(scene.client, "bounced@simulator.example")
    await caller.until(scene.client, path, "bounced")
    assert await _told(parts) == ["notification.sent", "notification.bounced"]


async def test_a_deferred_one_is_sent_by_the_schedule(parts: wiring.Base, scene: Scene, relay: Relay) -> None:
    """Deferred once, due again by the schedule, and then sent."""
    path = await caller.submit(scene.client, "deferred@simulator.example")
    found = await caller.until(scene.client, path, "deferred")
    assert (found["reason"], found["next_attempt_at"] > found["created_at"]) == ("temporary_refusal", True)
    await caller.make_due(parts.database)
    found = await caller.until(scene.client, path, "sent")
    assert [one["outcome"] for one in found["attempts"]] == ["deferred", "accepted"]
    assert relay.connections == 0


async def test_a_failed_one_suppresses_nobody(parts: wiring.Base, scene: Scene, relay: Relay) -> None:
    """It fails with the words of a relay that knows no such mailbox, and the next one is tried all the same."""
    for _ in range(2):
        path = await caller.submit(scene.client, "failed@simulator.example")
        found = await caller.until(scene.client, path, "failed")
        assert (found["reason"], found["attempts"][0]["enhanced_code"]) == ("recipient_refused", "5.1.1")
    async with parts.database.read() as connection:
        assert (await connection.execute(select(Suppression))).all() == []
    assert relay.connections == 0


async def test_an_unknown_one_stays_unknown(parts: wiring.Base, scene: Scene, relay: Relay) -> None:
    """No reply after the dot, and none to the resend either."""
    path = await caller.submit(scene.client, "unknown@simulator.example")
    await caller.until(scene.client, path, "unknown")
    await caller.make_due(parts.database)
    found = await caller.until_attempts(scene.client, path, 2)
    assert (found["status"], found["attempts"][1]["outcome"], relay.connections) == ("unknown", "uncertain", 0)


@pytest.mark.parametrize("kind", [KeyKind.LIVE, KeyKind.TEAM])
async def test_the_simulators_domain_is_simulated_whatever_the_key(
    installation: Installation, parts: wiring.Base, relay: Relay, kind: KeyKind
) -> None:
    """A live and a team key may mail it, no allow-list forbids it, and it does not leave."""
    strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("ada@example.com",)})
    key = await _key(parts, kind)
    async with strict.base() as narrow, strict.client(narrow, key) as client, wiring.sender(narrow):
        found = await caller.until(client, await caller.submit(client, "bounced@simulator.example"), "bounced")
        stranger = await client.post("/v1/notifications", json=WELCOME | {"to": "eve@example.com"})
    assert found["attempts"][0]["relay"] == "simulator"
    assert (stranger.status_code, stranger.json()["code"]) == (422, "recipient_not_allowed")
    assert relay.connections == 0


async def test_a_test_key_needs_no_allow_list(installation: Installation, parts: wiring.Base, relay: Relay) -> None:
    """What reaches nobody may name anybody, in a copy too; what a live key left behind for a stranger fails."""
    strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("ada@example.com",)})
    test, live = await _key(parts, KeyKind.TEST), await _key(parts, KeyKind.LIVE)
    async with installation.client(parts, live) as client:
        left = await caller.submit(client, "eve@example.com")
    async with strict.base() as narrow, strict.client(narrow, test) as client:
        path = await caller.submit(client, "eve@example.com", cc=["bob@example.com"])
        because = [
            [one["code"] for one in (await client.get(f"{it}/explain")).json()["because"]] for it in (path, left)
        ]
        assert ["recipients_mode" in codes for codes in because] == [False, True]
        async with wiring.sender(narrow):
            found = await caller.until(client, path, "delivered")
            await caller.until(client, f"/v1/notifications/{found['copies'][0]['id']}", "delivered")
            assert (await caller.until(client, left, "failed"))["reason"] == "recipient_not_allowed"
    assert relay.connections == 0


async def test_a_live_key_still_reaches_the_relay(installation: Installation, parts: wiring.Base, relay: Relay) -> None:
    """What is not simulated leaves as ever; copies are judged each for itself."""
    async with installation.client(parts) as client, wiring.sender(parts):
        path = await caller.submit(client, "ada@example.com", cc=["bounced@simulator.example"])
        await caller.until(client, path, "sent")
        await relay.wait_for(1)
        await caller.until_drained(parts.database)
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]


async def test_a_simulated_mail_teaches_nothing_about_the_relay(
    installation: Installation, parts: wiring.Base, scene: Scene, relay: Relay
) -> None:
    """While the relay is away a test mail that is claimed as the probe is delivered, and the circuit stays open."""
    await relay.stop()
    async with installation.client(parts) as live:
        path = await caller.submit(live, "bob@example.com")
        await caller.eventually(lambda: scene.running.deliverer.relay.is_open)
        assert (await live.post(f"{path}/cancel")).json()["status"] == "cancelled"
    for _ in range(2):
        await caller.until(scene.client, await caller.submit(scene.client), "delivered")
    assert scene.running.deliverer.relay.is_open


async def test_a_cancelled_test_mail_is_not_delivered(parts: wiring.Base, scene: Scene) -> None:
    """One that was cancelled before its time stays so, and nothing of it is left to do."""
    later = "2027-01-01T00:00:00Z"
    path = await caller.submit(scene.client, "delivered@simulator.example", send_at=later)
    assert (await scene.client.post(f"{path}/cancel")).json()["status"] == "cancelled"
    await caller.until(scene.client, await caller.submit(scene.client), "delivered")
    assert (await scene.client.get(path)).json()["status"] == "cancelled"
    assert await caller.entries(parts.database) == 0
