"""Mail content over the API: dry run, content before and after sending, and why a mail waits."""

import email.policy
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

import httpx2
from integration.api.refusal import Written
from sqlalchemy import text
from support import api_caller
from support.polling import wait_until
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring


async def _reading(installation: Installation, parts: wiring.ProcessParts) -> str:
    """A client with a key that may read contents."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        scopes = [KeyScope.SEND, KeyScope.READ, KeyScope.CONTENT]
        return await key_admin.create_live_key(connection, shop, scopes=scopes, now=parts.clock.now())


async def test_a_rehearsal_shows_the_mail_and_writes_nothing(client: httpx2.AsyncClient, written: Written) -> None:
    """`dry_run` answers 200 with the parts; faults are the same 422 as without it."""
    before = await written()
    reply = await client.post("/v1/notifications?dry_run=true", json=WELCOME)
    assert reply.status_code == 200, reply.text
    preview = reply.json()
    assert (preview["dry_run"], preview["to"]) == (True, "ada@example.com")
    assert "Ada" in preview["html"]
    assert "Ada" in preview["text"]
    wrong = await client.post("/v1/notifications?dry_run=true", json=WELCOME | {"variables": {}})
    assert wrong.status_code == 422
    assert (await client.post("/v1/notifications?dry_run=maybe", json=WELCOME)).status_code == 422
    assert await written() == before


async def test_what_is_shown_is_what_was_sent(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Before sending the content is a preview; afterwards it is marked as the bytes that were sent."""
    key = await _reading(installation, parts)
    async with installation.open_client(parts, key) as client:
        path = await api_caller.submit_mail(client, cc=["bob@example.com"])
        before = (await client.get(f"{path}/content")).json()
        async with wiring.run_sender(parts):
            await api_caller.wait_for_status(client, path, "sent")
        after = (await client.get(f"{path}/content")).json()
        source = await client.get(f"{path}/content", params={"format": "eml"})
    assert (before["identical"], after["identical"]) == (None, True)
    assert before["sha256"] == after["sha256"]
    assert source.headers["content-type"] == "message/rfc822"
    parsed = message_from_bytes(source.content, policy=email.policy.default)
    assert (parsed["To"], parsed["Cc"]) == ("ada@example.com", "bob@example.com")
    assert {mail.data.rstrip(b"\r\n") for mail in await relay.wait_for(2)} == {source.content.rstrip(b"\r\n")}


async def test_content_needs_its_scope(client: httpx2.AsyncClient) -> None:
    """Content needs its own scope, because it may hold a secret such as a reset link."""
    path = await api_caller.submit_mail(client)
    assert (await client.get(f"{path}/content")).status_code == 403


async def test_why_a_scheduled_mail_waits(client: httpx2.AsyncClient) -> None:
    """The reason is the scheduled time, and the next attempt is at that time."""
    later = (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT08:00:00Z")
    path = await api_caller.submit_mail(client, send_at=later)
    explanation = (await client.get(f"{path}/explain")).json()
    assert (explanation["status"], explanation["waiting"], explanation["next_attempt_at"]) == (
        "scheduled",
        True,
        later,
    )
    assert ("scheduled", later) in {(cause["code"], cause["until"]) for cause in explanation["because"]}


async def test_why_a_mail_waits_for_its_relay(
    installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """While the relay is unreachable that is the reason; once it is back it is not."""
    await relay.stop()
    async with installation.open_client(parts) as client, wiring.run_sender(parts) as sender:
        path = await api_caller.submit_mail(client)
        await wait_until(lambda: sender.deliverer.relay.is_open)
        codes: set[str] = set()
        while "circuit_open" not in codes:
            codes = {cause["code"] for cause in (await client.get(f"{path}/explain")).json()["because"]}
    async with parts.database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM relay_state"))).scalar_one() == 0


async def test_what_has_ended_waits_for_nothing(client: httpx2.AsyncClient) -> None:
    """A mail that has ended shows its outcome instead of a reason to wait."""
    path = await api_caller.submit_mail(client)
    await client.post(f"{path}/cancel")
    explanation = (await client.get(f"{path}/explain")).json()
    assert (explanation["waiting"], explanation["next_attempt_at"]) == (False, None)
    assert [(cause["code"], cause["detail"]) for cause in explanation["because"]] == [("ended", "it is cancelled")]
