"""The simulator: test mail gets simulated outcomes and never reaches a relay, on both databases."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from sqlalchemy import insert, select
from support import api_caller
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.key_admin import NewKey
from notifier.db.tables import Suppression, WebhookEndpoint, WebhookEvent, get_columns
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.settings import RecipientsMode
from notifier.states import KeyKind


@dataclass(frozen=True)
class Scene:
    """A running sender, and an HTTP client with a test key."""

    client: httpx2.AsyncClient
    running: wiring.RunningSender


async def _key(parts: wiring.ProcessParts, kind: KeyKind) -> str:
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        return (await key_admin.insert_key(connection, shop, NewKey(kind=kind), now=parts.clock.now()))[1]


@pytest.fixture
async def scene(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[Scene]:
    """Provide the shop with a test key, and a sender."""
    key = await _key(parts, KeyKind.TEST)
    async with installation.open_client(parts, key) as client, wiring.run_sender(parts) as running:
        yield Scene(client, running)


async def _read_event_types(parts: wiring.ProcessParts) -> list[str]:
    """Return the webhook events, in order."""
    event = get_columns(WebhookEvent)
    async with parts.database.read() as connection:
        return list((await connection.execute(select(event.type).order_by(event.sequence))).scalars())


async def _listen(parts: wiring.ProcessParts) -> None:
    """Give the shop a webhook endpoint, so that events are written."""
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
    """The simulator accepts the one attempt, the recipient's name sets the status, and no relay is called."""
    notification = await api_caller.wait_for_status(
        scene.client, await api_caller.submit_mail(scene.client, recipient), status
    )
    (attempt,) = notification["attempts"]
    assert (attempt["relay"], attempt["outcome"], attempt["code"]) == ("simulator", "accepted", 250)
    assert (notification["detail"], notification["reason"]) == (detail, None)
    assert relay.connections == 0


async def test_each_step_is_told(parts: wiring.ProcessParts, scene: Scene) -> None:
    """A webhook receives `sent` and then `bounced`."""
    await _listen(parts)
    path = await api_caller.submit_mail(scene.client, "bounced@simulator.example")
    await api_caller.wait_for_status(scene.client, path, "bounced")
    assert await _read_event_types(parts) == ["notification.sent", "notification.bounced"]


async def test_a_deferred_one_is_sent_by_the_schedule(
    parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay
) -> None:
    """A simulated deferral is due again by the schedule, and then sent."""
    path = await api_caller.submit_mail(scene.client, "deferred@simulator.example")
    notification = await api_caller.wait_for_status(scene.client, path, "deferred")
    assert (notification["reason"], notification["next_attempt_at"] > notification["created_at"]) == (
        "temporary_refusal",
        True,
    )
    await api_caller.make_due(parts.database)
    notification = await api_caller.wait_for_status(scene.client, path, "sent")
    assert [entry["outcome"] for entry in notification["attempts"]] == ["deferred", "accepted"]
    assert relay.connections == 0


async def test_a_failed_one_suppresses_nobody(parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay) -> None:
    """A simulated unknown mailbox fails the mail and does not suppress the address."""
    for _ in range(2):
        path = await api_caller.submit_mail(scene.client, "failed@simulator.example")
        notification = await api_caller.wait_for_status(scene.client, path, "failed")
        assert (notification["reason"], notification["attempts"][0]["enhanced_code"]) == ("recipient_refused", "5.1.1")
    async with parts.database.read() as connection:
        assert (await connection.execute(select(Suppression))).all() == []
    assert relay.connections == 0


async def test_an_unknown_one_stays_unknown(parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay) -> None:
    """A simulated silence after the dot, also for the resend, leaves the mail `unknown`."""
    path = await api_caller.submit_mail(scene.client, "unknown@simulator.example")
    await api_caller.wait_for_status(scene.client, path, "unknown")
    await api_caller.make_due(parts.database)
    notification = await api_caller.wait_for_attempts(scene.client, path, 2)
    assert (notification["status"], notification["attempts"][1]["outcome"], relay.connections) == (
        "unknown",
        "uncertain",
        0,
    )


@pytest.mark.parametrize("kind", [KeyKind.LIVE, KeyKind.TEAM])
async def test_the_simulators_domain_is_simulated_whatever_the_key(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay, kind: KeyKind
) -> None:
    """Mail to the simulator's domain is simulated for live and team keys, and needs no allow-list."""
    strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("ada@example.com",)})
    key = await _key(parts, kind)
    async with strict.open_parts() as narrow, strict.open_client(narrow, key) as client, wiring.run_sender(narrow):
        notification = await api_caller.wait_for_status(
            client, await api_caller.submit_mail(client, "bounced@simulator.example"), "bounced"
        )
        stranger = await client.post("/v1/notifications", json=WELCOME | {"to": "eve@example.com"})
    assert notification["attempts"][0]["relay"] == "simulator"
    assert (stranger.status_code, stranger.json()["code"]) == (422, "recipient_not_allowed")
    assert relay.connections == 0


async def test_a_test_key_needs_no_allow_list(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Simulated mail may name anybody, also in a copy; a live mail to an address not on the list fails."""
    strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("ada@example.com",)})
    test, live = await _key(parts, KeyKind.TEST), await _key(parts, KeyKind.LIVE)
    async with installation.open_client(parts, live) as client:
        other_path = await api_caller.submit_mail(client, "eve@example.com")
    async with strict.open_parts() as narrow, strict.open_client(narrow, test) as client:
        path = await api_caller.submit_mail(client, "eve@example.com", cc=["bob@example.com"])
        because = [
            [entry["code"] for entry in (await client.get(f"{it}/explain")).json()["because"]]
            for it in (path, other_path)
        ]
        assert ["recipients_mode" in codes for codes in because] == [False, True]
        async with wiring.run_sender(narrow):
            notification = await api_caller.wait_for_status(client, path, "delivered")
            await api_caller.wait_for_status(
                client, f"/v1/notifications/{notification['copies'][0]['id']}", "delivered"
            )
            assert (await api_caller.wait_for_status(client, other_path, "failed"))["reason"] == "recipient_not_allowed"
    assert relay.connections == 0


async def test_a_live_key_still_reaches_the_relay(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Mail that is not simulated reaches the relay; each copy is judged by its own address."""
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "ada@example.com", cc=["bounced@simulator.example"])
        await api_caller.wait_for_status(client, path, "sent")
        await relay.wait_for(1)
        await api_caller.wait_until_drained(parts.database)
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]


async def test_a_simulated_mail_teaches_nothing_about_the_relay(
    installation: Installation, parts: wiring.ProcessParts, scene: Scene, relay: ScriptedRelay
) -> None:
    """A simulated mail claimed as the probe is delivered and does not close the circuit."""
    await relay.stop()
    async with installation.open_client(parts) as live:
        path = await api_caller.submit_mail(live, "bob@example.com")
        await wait_until(lambda: scene.running.deliverer.relay.is_open)
        assert (await live.post(f"{path}/cancel")).json()["status"] == "cancelled"
    for _ in range(2):
        await api_caller.wait_for_status(scene.client, await api_caller.submit_mail(scene.client), "delivered")
    assert scene.running.deliverer.relay.is_open


async def test_a_cancelled_test_mail_is_not_delivered(parts: wiring.ProcessParts, scene: Scene) -> None:
    """A cancelled scheduled test mail stays cancelled and leaves no entry."""
    later = "2027-01-01T00:00:00Z"
    path = await api_caller.submit_mail(scene.client, "delivered@simulator.example", send_at=later)
    assert (await scene.client.post(f"{path}/cancel")).json()["status"] == "cancelled"
    await api_caller.wait_for_status(scene.client, await api_caller.submit_mail(scene.client), "delivered")
    assert (await scene.client.get(path)).json()["status"] == "cancelled"
    assert await api_caller.count_entries(parts.database) == 0
