"""A template that takes too long with one service's values: those mails fail, and no other mail waits for them."""

import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from integration.api.clock import ForwardClock
from support import api_caller, published_template
from support.polling import poll_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.delivery.mail_renderer import BURST_SECONDS, SLOW_SHARE
from notifier.rendering.pool import TOO_SLOW_FAULT
from notifier.rendering.preview_pool import PREVIEW_NICENESS
from notifier.runtime import wiring
from notifier.template_language.template_source import TemplateSettings, TemplateSource

ENDLESS = "{% for a in range(n) %}" * 3 + "{% endfor %}" * 3 + "<p>{{ n }}</p>"
ENDLESS_REPORT = TemplateSource(
    files={"subject.txt": "Report", "body.html": ENDLESS}, sample={"n": 1}, settings=TemplateSettings(name="A")
)
OVER = int(BURST_SECONDS / 0.25) + 1
"""The number of slow mails after which the version has used its burst."""
BEHIND = 30
SLOW_REASONS = ("body.html, line 1: the mail was still being written here after 0.25 s.", TOO_SLOW_FAULT.message)
"""The second on a host so busy that the child's second ends before it has had a quarter of it: this costs the version
four times as much, so that fewer mails use its burst."""
REQUEST = {"to": "ada@example.com", "template": "report", "variables": {"n": 1}}


async def _publish_slow_report(parts: wiring.ProcessParts) -> tuple[ForwardClock, wiring.ProcessParts]:
    """Publish the slow template and let the test move the clock."""
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "report", ENDLESS_REPORT)
    clock = ForwardClock()
    return clock, replace(parts, clock=clock)


async def _accepted(client: httpx2.AsyncClient, *requests: Mapping[str, object]) -> list[str]:
    reply = await client.post("/v1/notifications/batch", json={"notifications": requests})
    assert reply.status_code == 202, reply.text
    return [f"/v1/notifications/{result['id']}" for result in reply.json()["results"]]


async def test_a_version_whose_mails_take_too_long_has_to_wait(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """The first mails fail at once, the rest of the version wait without using attempts, other mail leaves."""
    clock, parts = await _publish_slow_report(parts)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        bad = await _accepted(client, *[REQUEST | {"variables": {"n": 99_999}}] * (OVER + BEHIND))
        failed = await _wait_until_slow(client)
        assert {(notification["reason"], len(notification["attempts"])) for notification in failed} == {("template", 0)}
        assert all(any(reason in notification["detail"] for reason in SLOW_REASONS) for notification in failed)
        assert os.getpriority(os.PRIO_PROCESS, 0) + PREVIEW_NICENESS in _priorities()  # tried behind the others
        (late, *others) = await _accepted(client, REQUEST, *[WELCOME] * 20)
        for path in others:
            await api_caller.wait_for_status(client, path, "sent")
        waiting = [
            notifications
            for path in (late, *bad)
            if (notifications := (await client.get(path)).json())["status"] == "queued"
        ]
        assert len(waiting) > BEHIND // 2
        assert waiting[0]["id"] in late
        assert {len(notification["attempts"]) for notification in waiting} == {0}
        assert len(relay.received) == len(others)
        explanation = await _wait_for_slow_reason(client, f"/v1/notifications/{waiting[-1]['id']}")
        assert explanation["because"][0]["detail"].startswith("mails of this version of its template took too long")
        assert explanation["next_attempt_at"] == explanation["because"][0]["until"]
        for path in bad:
            await client.post(f"{path}/cancel")
        clock.seconds = 10 * BURST_SECONDS / SLOW_SHARE  # by then the version has rested

        async def find_ended() -> str | None:
            await api_caller.make_due(parts.database)  # each time: a claim of before may have put it off once more
            status: str = (await client.get(late)).json()["status"]
            return status if status in {"sent", "failed"} else None

        assert await poll_until(find_ended) == "sent"


async def test_one_that_expires_meanwhile_says_what_it_waited_for(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A mail that expires while it waits is `expired`, and its reason names the slow version."""
    clock, parts = await _publish_slow_report(parts)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        bad = await _accepted(client, *[REQUEST | {"variables": {"n": 99_999}}] * OVER)
        await _wait_until_slow(client)
        ends = datetime.now(UTC) + timedelta(hours=1)
        (late,) = await _accepted(client, REQUEST | {"expires_at": ends.isoformat()})
        await _wait_for_slow_reason(client, late)
        clock.seconds = 3601
        await api_caller.make_due(parts.database)
        ended = await api_caller.wait_for_status(client, late, "expired", "sent", "failed")
    assert (ended["status"], len(ended["attempts"]), len(bad)) == ("expired", 0, OVER)
    assert ended["detail"].startswith("expired before it could be tried: mails of this version of its template took")


def _priorities() -> set[int]:
    """Return the scheduling priorities of the rendering children."""
    pids = [child.pid for child in multiprocessing.active_children() if child.name == "notifier-rendering"]
    return {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids if pid is not None}


async def _wait_for_slow_reason(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    """Wait for the explanation that the version is slow, and return it."""
    return await poll_until(lambda: _explain_slow(client, path))


async def _explain_slow(client: httpx2.AsyncClient, path: str) -> dict[str, Any] | None:
    """Return the explanation, if it is that the version is slow."""
    explanation: dict[str, Any] = (await client.get(f"{path}/explain")).json()
    is_slow = explanation["because"] and explanation["because"][0]["code"] == "template_slow"
    return explanation if is_slow else None


async def _wait_until_slow(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """Wait until the version has used its burst, and return the notifications that have failed."""

    async def list_notifications(status: str) -> list[dict[str, Any]]:
        page = (await client.get("/v1/notifications", params={"status": status, "limit": 200})).json()
        notifications: list[dict[str, Any]] = page["notifications"]
        return notifications

    async def list_failed() -> list[dict[str, Any]] | None:
        failed, queued = [await list_notifications(status) for status in ("failed", "queued")]
        if not failed:
            return None
        is_slow = queued and await _explain_slow(client, f"/v1/notifications/{queued[0]['id']}")
        return failed if is_slow or len(failed) >= OVER else None

    failed = await poll_until(list_failed)
    return [(await client.get(f"/v1/notifications/{notification['id']}")).json() for notification in failed]
