"""The story of the console: Bob asks where his mail is, and gets it; then staff change what the next one says."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
from support import notifier_process
from support.plain_browser import PlainBrowser
from support.scripted_relay import ScriptedRelay
from support.shop_processes import ShopProcesses

BOB = "bob@example.com"
ORDER = {"to": BOB, "template": "welcome", "variables": {"name": "Bob", "product": "Larkspur"}}
PASSWORD = "violet harbour lantern"


async def test_support_sends_again_and_staff_publish(relay: ScriptedRelay, tmp_path: Path) -> None:
    """Sam finds Bob by his address, reads why, and sends the mail again; Ada publishes warmer words for the next."""
    shop = await asyncio.to_thread(ShopProcesses, tmp_path, relay.port)
    sam = await asyncio.to_thread(_create_staff, shop, "Sam", "support")
    ada = await asyncio.to_thread(_create_staff, shop, "Ada", "editor", "publisher")
    # Bob's mailbox was set up too late: the relay does not know him yet.
    relay.say(BOB, "RCPT", f"550 5.1.1 <{BOB}>: Recipient address rejected: User unknown")
    with await asyncio.to_thread(shop.notifier), shop.client() as client:
        path = (await asyncio.to_thread(client.post, "/v1/notifications", json=ORDER)).headers["location"]
        await asyncio.to_thread(_until, client, path, "failed")
        await asyncio.to_thread(_answer_bob, str(client.base_url), sam)

        # The mail arrives, once, and its history says who did what.
        await asyncio.to_thread(_until, client, path, "sent")
        assert [mail.recipient for mail in relay.received] == [BOB]
        events = (await asyncio.to_thread(client.get, f"{path}/events")).json()["events"]
        assert [(event["kind"], event["actor_name"]) for event in events if event["actor_name"] == "Sam"] == [
            ("retried", "Sam")
        ]
        with PlainBrowser(str(client.base_url)) as desk:
            await asyncio.to_thread(_look_again, desk)

        # The words of the mail were stiff: staff change them, and the next one has the new words.
        await asyncio.to_thread(_publish_warmer_words, str(client.base_url), ada)
        path = (await asyncio.to_thread(client.post, "/v1/notifications", json=ORDER)).headers["location"]
        await asyncio.to_thread(_until, client, path, "sent")
        subjects = [mail.message["Subject"] for mail in relay.received]
        assert subjects == ["Welcome to Larkspur, Bob", "Good to see you at Larkspur, Bob"]


def _create_staff(shop: ShopProcesses, name: str, *roles: str) -> str:
    """Create a person; returns the path of the one-time link."""
    options = [word for role in roles for word in ("--role", role)]
    command = ("staff", "create", f"{name.lower()}@shop.example", "--name", name, *options)
    made = notifier_process.run_notifier(*command, env=shop.env)
    (link,) = (word for word in made.stdout.split() if "/console/welcome/" in word)
    return link[link.index("/console/") :]


def _sign_in(desk: PlainBrowser, path: str) -> None:
    desk.open(path)
    desk.press("Save and sign in", password=PASSWORD, time_zone="Europe/Amsterdam")
    assert "Nothing waits for you." in desk.text


def _answer_bob(url: str, path: str) -> None:
    with PlainBrowser(url) as desk:
        _sign_in(desk, path)

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
    desk.press("Sign in", email="sam@shop.example", password=PASSWORD)
    assert "May be mailed." in desk.text
    desk.follow("Welcome", within="table")
    assert "Probably. The mail server accepted it" in desk.text
    assert "sent again by Sam" in desk.text


def _publish_warmer_words(url: str, path: str) -> None:
    with PlainBrowser(url) as desk:
        _sign_in(desk, path)
        desk.follow("Templates")
        desk.follow("Welcome", within="table")
        desk.follow("Edit")
        desk.press("Save and publish…", instead=("Welcome to {{ product }}", "Good to see you at {{ product }}"))
        assert "Ready. Nobody breaks" in desk.text
        desk.press("Publish version 2", note="Warmer words")
        assert "Version 2 is live" in desk.text


def _until(client: httpx2.Client, path: str, status: str) -> dict[str, Any]:
    """Poll until the notification has the status, as a caller would."""
    for _ in range(5000):
        notification: dict[str, Any] = client.get(path).json()
        if notification["status"] == status:
            return notification
    raise AssertionError(notification)
