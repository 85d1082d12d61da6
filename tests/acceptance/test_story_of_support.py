"""The story of support: Bob asks where his mail is, and gets an answer, and then the mail."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from support import notifier_process
from support.plain_browser import PlainBrowser
from support.scripted_relay import ScriptedRelay
from support.shop_processes import ShopProcesses

BOB = "bob@example.com"


async def test_support_looks_bob_up_and_sends_again(relay: ScriptedRelay, tmp_path: Path) -> None:
    """Sam signs in by a link, finds Bob by his address, reads why, lifts the suppression, and sends the mail again."""
    shop = await asyncio.to_thread(ShopProcesses, tmp_path, relay.port)
    made = await asyncio.to_thread(
        notifier_process.run_notifier,
        *("staff", "create", "sam@shop.example", "--name", "Sam", "--role", "support"),
        env=shop.env,
    )
    (link,) = (word for word in made.stdout.split() if "/console/welcome/" in word)
    # Bob's mailbox was set up too late: the relay does not know him yet.
    relay.say(BOB, "RCPT", f"550 5.1.1 <{BOB}>: Recipient address rejected: User unknown")
    with await asyncio.to_thread(shop.notifier), shop.client() as client:
        order = {"to": BOB, "template": "welcome", "variables": {"name": "Bob", "product": "Larkspur"}}
        reply = await asyncio.to_thread(client.post, "/v1/notifications", json=order)
        path = reply.headers["location"]
        await asyncio.to_thread(_until, client, path, "failed")
        await asyncio.to_thread(_answer_bob, str(client.base_url), link)

        # The mail arrives, once, and its history says who did what.
        await asyncio.to_thread(_until, client, path, "sent")
        assert [mail.recipient for mail in relay.received] == [BOB]
        events = (await asyncio.to_thread(client.get, f"{path}/events")).json()["events"]
        assert [(event["kind"], event["actor_name"]) for event in events if event["actor_name"] == "Sam"] == [
            ("retried", "Sam")
        ]
        with PlainBrowser(str(client.base_url)) as desk:
            await asyncio.to_thread(_look_again, desk)


def _answer_bob(url: str, link: str) -> None:
    with PlainBrowser(url) as desk:
        desk.open("/console/welcome/" + link.rpartition("/")[2])
        desk.press("Save and sign in", password="violet harbour lantern", time_zone="Europe/Amsterdam")
        assert "Nothing waits for you." in desk.text

        # Bob is on the phone.
        desk.open("/console/mail", q=BOB)
        assert "Must not be mailed." in desk.text
        desk.follow("Welcome", within="table")
        assert f"No. The mail server says that {BOB} does not exist." in desk.text
        assert f"that {BOB} does not exist. Please check the address, and tell us the right one." in desk.text

        # The address is right, and works by now.
        desk.press("Lift")
        assert "Lifted." in desk.text
        desk.press("Send it again")
        assert "It is sent again." in desk.text


def _look_again(desk: PlainBrowser) -> None:
    desk.open("/console/mail", q=BOB)
    desk.press("Sign in", email="sam@shop.example", password="violet harbour lantern")
    assert "May be mailed." in desk.text
    desk.follow("Welcome", within="table")
    assert "Probably. The mail server accepted it" in desk.text
    assert "sent again by Sam" in desk.text


def _until(client: httpx2.Client, path: str, status: str) -> dict[str, Any]:
    """Poll until the notification has the status, as a caller would."""
    for _ in range(5000):
        notification: dict[str, Any] = client.get(path).json()
        if notification["status"] == status:
            return notification
    raise AssertionError(notification)
