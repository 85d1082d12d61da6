"""The README's story over the API: an order, a mail, and a relay that dies and comes back."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.polling import poll_in_thread
from support.scripted_relay import HANG, ScriptedRelay
from support.shop_processes import ShopProcesses

ORDER = {
    "store": "Fold & Grain",
    "name": "Ada",
    "order": {"number": "FG-20418"},
    "shipment": {
        "carrier": "Nordpost",
        "tracking_number": "NP 4471",
        "tracking_url": "https://nordpost.example/NP4471",
        "delivery_estimate": "Thursday 15 May",
    },
    "items": [{"name": "Walnut tray", "quantity": 1, "price": "€48.00"}],
    "totals": {"subtotal": "€48.00", "shipping": "€4.90", "total": "€52.90"},
    "address_lines": ["Ada Lovelace", "12 St James's Square", "London"],
}


@pytest.fixture
def shop(tmp_path: Path) -> ShopProcesses:
    return ShopProcesses(tmp_path)


def test_an_order_becomes_a_mail_and_an_outage_delays_it(shop: ShopProcesses) -> None:
    """An order's mail waits for the relay, and is sent with the text that staff published meanwhile."""
    key = shop.admin_key()
    with shop.notifier(), shop.client() as client, shop.client(key) as staff:
        with shop.relay() as relay, shop.inbox() as inbox:
            # A customer orders, the shop submits the mail, and the API has stored it.
            reply = client.post("/v1/notifications", json=_shipped("ada@example.com"))
            assert reply.status_code == 202

            # The mail arrives, and the notification says so.
            mail = inbox.wait_for(to="ada@example.com")
            assert mail.subject == "Your Fold & Grain order FG-20418 is on its way"
            assert "Walnut tray" in (mail.html or "")
            assert "Walnut tray" in (mail.text or "")
            assert _until(client, reply, "sent")["attempts"][0]["code"] == 250

            # The relay dies. The shop is not affected; the notification waits.
            relay.send(signal.SIGKILL)
            relay.wait()
        reply = client.post("/v1/notifications", json=_shipped("grace@example.com"))
        assert reply.status_code == 202
        waiting = client.get(reply.headers["location"]).json()
        assert (waiting["status"], waiting["attempts"]) == ("queued", [])

        # Staff publish another subject. The publish gate rendered it with the shop's recent mails.
        report = _published(staff, "{{ store }}: order {{ order.number }} has left us")
        assert (report["looked"], report["changed"], report["blocks"]) == (2, 2, False)
        later = _once_it_says(client, "has left us", _shipped("joan@example.com"))

        # The relay comes back. Each mail arrives once, and the outage used up no attempt.
        with shop.relay(), shop.inbox() as inbox:
            # A mail that was accepted earlier keeps its version; the next has the new one.
            mail = inbox.wait_for(to="grace@example.com", timeout=100)
            assert mail.subject == "Your Fold & Grain order FG-20418 is on its way"
            assert inbox.wait_for(to="joan@example.com").subject == "Fold & Grain: order FG-20418 has left us"
            for accepted in (reply, later):
                sent = _until(client, accepted, "sent")
                assert [attempt["outcome"] for attempt in sent["attempts"]] == ["accepted"]
            assert len(inbox.messages()) == 2


def _published(staff: httpx2.Client, subject: str) -> dict[str, Any]:
    """Publish the order's template with another subject; return the publish gate's findings."""
    path = "/v1/templates/order_shipped"
    current = staff.get(f"{path}/draft").json()
    draft = {name: current[name] for name in ("files", "sample", "settings", "revision")}
    saved = staff.put(f"{path}/draft", json=draft | {"files": current["files"] | {"subject.txt": subject}})
    assert saved.status_code == 200, saved.text
    reply = staff.post(f"{path}/publish", json={"revision": saved.json()["revision"], "note": "shorter"}, timeout=100)
    assert reply.status_code == 201, reply.text
    report: dict[str, Any] = reply.json()["report"]
    return report


def _once_it_says(client: httpx2.Client, words: str, body: dict[str, Any]) -> httpx2.Response:
    """Send a mail once a dry run shows the new text, which takes up to a second after the publish."""

    def is_shown() -> bool:
        dry = client.post("/v1/notifications", params={"dry_run": "true"}, json=body)
        return words in dry.json()["subject"]

    poll_in_thread(is_shown)
    return client.post("/v1/notifications", json=body)


def test_a_spreadsheet_becomes_mail_and_the_morning_gets_a_report(tmp_path: Path) -> None:
    """A colleague merges a spreadsheet with one wrong row; the figures of the day before come by mail."""
    shop = ShopProcesses(tmp_path, None, "notifications:send", "notifications:read", "schedules:manage")
    with shop.notifier(), shop.client() as client, shop.relay(), shop.inbox() as inbox:
        # The check names the wrong row in the words of the file, and sends nothing.
        rows = ["E-Mail Address;Name;Product", "ada@example.com;Ada;F", "nobody;Bob;F", "grace@example.com;Zoë;F"]
        content = "\n".join(rows).encode("cp1252")
        reply = client.post("/v1/merges?template=welcome", content=content, headers={"Content-Type": "text/csv"})
        assert reply.status_code == 202, reply.text
        path = f"/v1/merges/{reply.json()['id']}"
        checked = _until_state(client, path, "checked")
        assert (checked["rows"], checked["valid"], checked["faulty"]) == (3, 2, 1)
        (row,) = client.get(f"{path}/faults").json()["rows"]
        assert (row["row"], row["faults"][0]["column"]) == (3, "E-Mail Address")
        assert inbox.messages() == []

        # The other rows become one mail each.
        started = client.post(f"{path}/start", json={"on_error": "skip_invalid"})
        assert started.status_code == 200, started.text
        assert inbox.wait_for(to="grace@example.com", timeout=100).subject
        assert inbox.wait_for(to="ada@example.com", timeout=100).subject
        assert _until_state(client, path, "finished")["submitted"]["written"] == 2

        # The report would come at nine; somebody asks for it now.
        report = {
            "timing": "0 9 * * *",
            "zone": "Europe/Berlin",
            "action": "report",
            "options": {"to": "ops@shop.example"},
        }
        assert client.put("/v1/schedules/morning", json=report).status_code == 200
        assert client.post("/v1/schedules/morning/run").status_code == 202
        assert "daily report" in inbox.wait_for(to="ops@shop.example", timeout=100).subject
        assert len(inbox.messages()) == 3


def _until_state(client: httpx2.Client, path: str, state: str) -> dict[str, Any]:
    """Poll until a merge has the state, as a caller would."""

    def get_merge() -> dict[str, Any] | None:
        merge: dict[str, Any] = client.get(path).json()
        return merge if merge["state"] == state else None

    return poll_in_thread(get_merge)


async def test_a_sender_killed_after_the_dot_says_so(relay: ScriptedRelay, tmp_path: Path) -> None:
    """After a sender was killed behind the final dot, the notification is reported as unknown."""
    shop = await asyncio.to_thread(ShopProcesses, tmp_path, relay.port)
    relay.say("ada@example.com", "DOT", HANG)
    notifier = await asyncio.to_thread(shop.notifier)
    with notifier, shop.client() as client:
        # The relay reads the whole mail and does not reply. Then the sender dies.
        reply = await asyncio.to_thread(client.post, "/v1/notifications", json=_shipped("ada@example.com"))
        await relay.wait_for_bodies(1)
        notifier.kill()
    with await asyncio.to_thread(shop.notifier), shop.client() as client:
        # The next sender recovers the mail and reports what is known and why.
        notification = await asyncio.to_thread(_until, client, reply, "unknown")
        assert (notification["reason"], notification["next_attempt_at"] is None) == ("sender_died", False)
        assert (
            notification["detail"] == "the sender died after it was permitted to hand over the mail, and left no reply"
        )
        assert [attempt["outcome"] for attempt in notification["attempts"]] == ["uncertain"]

        # It is sent again, and its history still shows the unknown outcome.
        sent = await asyncio.to_thread(_until, client, reply, "sent")
        assert [attempt["outcome"] for attempt in sent["attempts"]] == ["uncertain", "accepted"]
        assert sent["uncertain_at"] == notification["uncertain_at"]


def _shipped(to: str) -> dict[str, object]:
    return {"to": to, "template": "order_shipped", "variables": ORDER}


def _until(client: httpx2.Client, reply: httpx2.Response, status: str) -> dict[str, Any]:
    """Poll until the notification has the status, as a caller would."""

    def get_notification() -> dict[str, Any] | None:
        notification: dict[str, Any] = client.get(reply.headers["location"]).json()
        return notification if notification["status"] == status else None

    return poll_in_thread(get_notification)
