"""A fault that the relay reports to one mail stops no other mail; reported to several, it stops the relay."""

from typing import Any

import httpx2
from support import api_caller
from support.polling import poll_until, wait_until
from support.scripted_relay import DROP, ScriptedRelay
from support.seeded_installation import Installation

from notifier.delivery.relay_circuits import REASON_TEXTS
from notifier.health import checks
from notifier.outcomes import CircuitReason
from notifier.runtime import wiring
from notifier.throttle import circuit_breaker

ALWAYS = 1000
ORDERS, NEWS = "orders@shop.example", "news@shop.example"
BARRED = f"554 5.7.1 <{ORDERS}>: Sender address rejected: Access denied"


async def test_good_mail_of_two_services_passes_whatever_single_recipients_are_told(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A login, disconnect or fault reported to one recipient or one sender opens no circuit."""
    relay.pipelines = True
    relay.say("login@bad.example", "RCPT", "535 5.7.8 Authentication credentials invalid", times=ALWAYS)
    relay.say("closing@bad.example", "RCPT", "421 4.7.0 closing", times=ALWAYS)
    relay.say("down@bad.example", "DOT", "421 4.3.2 shutting down", times=ALWAYS)
    relay.say("gone@bad.example", "RCPT", DROP, times=ALWAYS)
    relay.say("relaying@bad.example", "RCPT", "454 4.7.1 Relay access denied", times=ALWAYS)
    relay.say("full@bad.example", "DOT", "452 space shortage", times=ALWAYS)
    relay.say("quota@shop.example", "MAIL", "421 4.7.0 quota of this sender", times=ALWAYS)
    opened: list[str | None] = []
    async with (
        installation.open_client(parts) as shop,
        installation.open_client(parts, installation.keys.other) as other,
        wiring.run_sender(parts) as sender,
    ):
        sender.deliverer.circuits.listener = opened.append
        names = ("login", "closing", "down", "gone", "relaying", "full")
        bad = [await api_caller.submit_mail(shop, f"{name}@bad.example") for name in names]
        bad.append(await api_caller.submit_mail(shop, "any@bad.example", **{"from": "quota@shop.example"}))
        services = [shop, other]
        paths = [
            (services[n % 2], await api_caller.submit_mail(services[n % 2], f"bob{n}@a{n}.example")) for n in range(60)
        ]
        good = [await api_caller.wait_for_status(client, path, "sent") for client, path in paths]
        refused = [await api_caller.wait_for_status(shop, path, "deferred") for path in bad]
    assert opened == []
    assert {len(notification["attempts"]) for notification in good} == {1}
    assert {len(notification["attempts"]) for notification in refused} == {1}


async def test_a_relay_that_is_full_is_named_and_burns_few_attempts(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """After several reports the others wait without attempts; readiness, doctor and explain say why."""
    relay.say("*", "DOT", "452 4.3.1 no room for <eve@customer.example>", times=ALWAYS)
    words = f"{REASON_TEXTS[CircuitReason.STORAGE]} (452 4.3.1)"
    async with installation.open_client(parts) as client, wiring.run_sender(parts) as sender:
        paths = [await api_caller.submit_mail(client, f"bob{n}@a{n}.example") for n in range(30)]
        await wait_until(lambda: sender.deliverer.relay.is_open)
        _hold(sender.deliverer.relay)
        assert next(check for check in await sender.readiness(parts.database) if check.name == "relay").detail == words
        await _wait_for_finding(parts, words)
        notifications = [(await client.get(path)).json() for path in paths]
        waiting = [
            notification
            for notification in notifications
            if (notification["status"], notification["attempts"]) == ("queued", [])
        ]
        assert len(waiting) > 20
        assert words in (await _explained(client, waiting[-1]["id"]))
        relay.forget()
        sender.deliverer.relay._next_probe = 0.0
        await wait_until(lambda: not sender.deliverer.relay.is_open)
        await api_caller.make_due(parts.database)
        ended = [await api_caller.wait_for_status(client, path, "sent") for path in paths]
    assert sum(len(notification["attempts"]) for notification in ended) < 40


async def _wait_for_finding(parts: wiring.ProcessParts, words: str) -> None:
    """Wait until `doctor`, run as another process would, names the relay's fault."""

    async def is_named() -> bool:
        findings = await checks.check_circuits(parts.database)
        return any(words in finding.detail and finding.warning for finding in findings)

    await poll_until(is_named)


async def _explained(client: httpx2.AsyncClient, id_: str) -> str:
    causes: list[dict[str, Any]] = (await client.get(f"/v1/notifications/{id_}/explain")).json()["because"]
    return " ".join(cause["detail"] for cause in causes if cause["code"] == "circuit_open")


async def test_good_mail_of_another_service_is_probed_before_the_rest_of_the_bad(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A mail whose probe reopens the circuit is set aside, and the services take turns with probes."""
    relay.say("*", "RCPT", "451 4.3.0 Temporary lookup failure", times=ALWAYS)
    async with (
        installation.open_client(parts) as shop,
        installation.open_client(parts, installation.keys.other) as other,
        wiring.run_sender(parts) as sender,
    ):
        bad = [await api_caller.submit_mail(other, f"bob{n}@a{n}.example") for n in range(40)]
        await wait_until(lambda: sender.deliverer.relay.is_open)
        _hold(sender.deliverer.relay)
        relay.say("eve@customer.example", "RCPT", "250 2.1.5 ok")
        good = await api_caller.submit_mail(shop, "eve@customer.example")
        before = len(relay.commands)

        async def is_sent() -> bool:
            sender.deliverer.relay._next_probe = 0.0  # no test waits for the real pauses
            return bool((await shop.get(good)).json()["status"] == "sent")

        await poll_until(is_sent)
        tried = [(await other.get(path)).json()["attempts"] for path in bad]
    probes = [command for command in relay.commands[before:] if command.startswith("RCPT")]
    assert probes.index("RCPT TO:<eve@customer.example>") < len(bad) / 2  # as soon as the service is seen to have work
    assert {len(attempts) for attempts in tried} <= {0, 1}


def _hold(open_circuit: circuit_breaker.Circuit) -> None:
    """Keep the clock from deciding when the next probe is made."""
    open_circuit._next_probe += 3600


async def test_a_sender_that_postfix_refuses_at_rcpt_waits_and_nothing_fails(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """B15a: after refusals at two recipients the sender's next mail waits unattempted; other senders' mail leaves."""
    for to in ("bob@a.example", "eve@b.example"):
        relay.say(to, "RCPT", BARRED)
    async with installation.open_client(parts) as client, wiring.run_sender(parts) as sender:
        paths = [
            await api_caller.submit_mail(client, to, **{"from": ORDERS}) for to in ("bob@a.example", "eve@b.example")
        ]
        notifications = [await api_caller.wait_for_status(client, path, "deferred") for path in paths]
        assert {(notification["reason"], notification["detail"]) for notification in notifications} == {
            ("sender_refused", BARRED)
        }
        assert sender.deliverer.circuits.find_obstacle(ORDERS) is not None
        _hold(sender.deliverer.circuits._senders[ORDERS].circuit)
        waiting = await api_caller.submit_mail(client, "ada@c.example", **{"from": ORDERS})
        await api_caller.wait_for_status(
            client, await api_caller.submit_mail(client, "ada@c.example", **{"from": NEWS}), "sent"
        )
        assert (await _wait_for_reason(client, waiting, "sender_refused"))["attempts"] == []
        sender.deliverer.circuits._senders[ORDERS].circuit._next_probe = 0.0
        await api_caller.make_due(parts.database)
        for path in (*paths, waiting):
            await api_caller.wait_for_status(client, path, "sent")


async def _wait_for_reason(client: httpx2.AsyncClient, path: str, reason: str) -> dict[str, Any]:
    """Return the notification once it has this reason, whatever its status."""

    async def get_notification() -> dict[str, Any] | None:
        notification: dict[str, Any] = (await client.get(path)).json()
        return notification if notification["reason"] == reason else None

    return await poll_until(get_notification)
