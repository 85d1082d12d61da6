"""A mail with unknown outcome: what the template orders for it, and how long it waits."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from support import api_caller
from support.scripted_relay import DROP, ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.clock import SystemClock
from notifier.outbox import entry_store, queue_counts
from notifier.rendering.pool import RenderingPool
from notifier.runtime import wiring
from notifier.states import EntryState
from notifier.templating.sync import template_files
from notifier.templating.sync.push import Push


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The welcome template with the policy `hold`."""
    for name in ("welcome", "_layouts"):
        shutil.copytree(Path("templates") / name, tmp_path / "templates" / name)
    with (tmp_path / "templates" / "welcome" / "template.toml").open("a") as settings:
        settings.write('when_uncertain = "hold"\n')
    return tmp_path / "templates"


@pytest.fixture
async def holding(parts: wiring.ProcessParts, folder: Path) -> None:
    """Publish the template with the policy `hold`."""
    async with RenderingPool() as pool:
        push = Push(database=parts.database, pool=pool, clock=SystemClock(), by="test")
        await push.run(folder, template_files.list_slugs(folder))


@pytest.mark.usefixtures("holding")
async def test_hold_waits_for_a_person(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Under `hold` an uncertain mail is not resent, and is closed as unknown when it expires."""
    relay.say("bob@example.com", "DOT", DROP)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        notification = await api_caller.wait_for_status(client, path, "unknown")
        assert (notification["reason"], notification["next_attempt_at"]) == ("no_final_reply", None)
        assert await _held(parts) == 1
        await api_caller.make_due(parts.database)
        await api_caller.wait_for_status(client, await api_caller.submit_mail(client, "ada@example.com"), "sent")
        assert (await client.get(path)).json()["status"] == "unknown"
        notification = await _expire(parts, client, path)
    assert (notification["status"], notification["reason"]) == ("unknown", "no_final_reply")
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]


async def test_a_second_silence_waits_for_a_person(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A mail whose resend is lost too is held until it expires, and then closed."""
    relay.say("bob@example.com", "DOT", DROP, times=2)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, "bob@example.com")
        await api_caller.wait_for_status(client, path, "unknown")
        await api_caller.make_due(parts.database)
        await api_caller.wait_for_attempts(client, path, 2)
        assert await _held(parts) == 1
        notification = await _expire(parts, client, path)
    assert (notification["status"], len(notification["attempts"]), relay.received) == ("unknown", 2, [])


CONTENT = {"to": "bob@example.com", "content": {"subject": "s", "text": "t"}}
WELCOME_BOB = WELCOME | {"to": "bob@example.com"}


@pytest.mark.parametrize(
    ("request_", "is_held"),
    [
        (CONTENT, False),
        (CONTENT | {"when_uncertain": None}, False),
        (CONTENT | {"when_uncertain": "resend"}, False),
        (CONTENT | {"when_uncertain": "hold"}, True),
        (WELCOME_BOB | {"when_uncertain": "hold"}, True),
        (CONTENT | {"when_uncertain": "hold", "cc": ["eve@example.com"]}, True),
    ],
)
async def test_the_request_says_what_is_done(
    installation: Installation,
    parts: wiring.ProcessParts,
    relay: ScriptedRelay,
    request_: dict[str, Any],
    *,
    is_held: bool,
) -> None:
    """c16: mail with own content is resent once, as template mail is, unless the request says `hold`."""
    relay.say("bob@example.com", "DOT", DROP)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        path = (await client.post("/v1/notifications", json=request_)).headers["location"]
        notification = await api_caller.wait_for_status(client, path, "unknown")
        assert notification["when_uncertain"] == ("hold" if is_held else "resend")
        assert (notification["next_attempt_at"] is None, await _held(parts)) == (is_held, is_held)
        await api_caller.make_due(parts.database)
        if not is_held:
            await api_caller.wait_for_status(client, path, "sent")
            assert [mail.recipient for mail in relay.received] == ["bob@example.com"]


@pytest.mark.usefixtures("holding")
async def test_the_request_overrides_the_template(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """The request overrides the template's policy, also in a batch with defaults."""
    relay.say("bob@example.com", "DOT", DROP)
    relay.say("ada@example.com", "DOT", DROP)
    batch = {
        "defaults": WELCOME_BOB | {"when_uncertain": "resend"},
        "notifications": [{}, {"to": "ada@example.com", "when_uncertain": "hold"}],
    }
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        results = (await client.post("/v1/notifications/batch", json=batch)).json()["results"]
        views = [
            await api_caller.wait_for_status(client, f"/v1/notifications/{item['id']}", "unknown") for item in results
        ]
    assert [view["when_uncertain"] for view in views] == ["resend", "hold"]
    assert [view["next_attempt_at"] is None for view in views] == [False, True]


async def test_a_copy_is_treated_as_its_original(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """The policy in the request applies to cc and bcc too."""
    relay.say("eve@example.com", "DOT", DROP)
    async with installation.open_client(parts) as client, wiring.run_sender(parts):
        reply = await client.post(
            "/v1/notifications", json=CONTENT | {"when_uncertain": "hold", "bcc": ["eve@example.com"]}
        )
        notification = await api_caller.wait_for_status(client, reply.headers["location"], "sent")
        copy = await api_caller.wait_for_status(
            client, f"/v1/notifications/{notification['copies'][0]['id']}", "unknown"
        )
    assert (copy["when_uncertain"], copy["next_attempt_at"]) == ("hold", None)


async def test_a_mail_of_an_earlier_release_keeps_what_it_was_accepted_with(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A row without a policy uses the template's; one with own content is held."""
    relay.say("bob@example.com", "DOT", DROP, times=2)
    async with installation.open_client(parts) as client:
        replies = [await client.post("/v1/notifications", json=json) for json in (CONTENT, WELCOME_BOB)]
        async with parts.database.write() as connection:
            await connection.execute(text("UPDATE notification SET when_uncertain = NULL"))
        async with wiring.run_sender(parts):
            views = [
                await api_caller.wait_for_status(client, reply.headers["location"], "unknown") for reply in replies
            ]
    assert [view["when_uncertain"] for view in views] == [None, "resend"]
    assert [view["next_attempt_at"] is None for view in views] == [True, False]


async def test_a_dry_run_tells_it_and_nonsense_is_refused(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """The dry run shows the policy; an invalid value is 422 with its pointer."""
    async with installation.open_client(parts) as client:
        dry = await client.post("/v1/notifications?dry_run=true", json=CONTENT)
        bad = await client.post("/v1/notifications", json=CONTENT | {"when_uncertain": "wait"})
    assert (dry.status_code, dry.json()["when_uncertain"]) == (200, "resend")
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/when_uncertain")


async def _held(parts: wiring.ProcessParts) -> int:
    async with parts.database.read() as connection:
        return (await queue_counts.count_by_state(connection))[EntryState.HELD]


async def _expire(parts: wiring.ProcessParts, client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    """Set the expiry into the past, and close what has expired."""
    await api_caller.set_notification(parts.database, path, expires_at=parts.clock.now() - timedelta(seconds=1))
    async with parts.database.write() as connection:
        await connection.execute(
            text("UPDATE outbox_entry SET due_at = '2026-01-01 00:00:00.000000' WHERE state = 'held'")
        )
        assert await entry_store.release_expired_holds(connection) == 1
    parts.wakeup()
    await api_caller.wait_until_drained(parts.database)
    notification: dict[str, Any] = (await client.get(path)).json()
    return notification
