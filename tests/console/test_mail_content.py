"""What the pages of mail give out, and what they write into the audit: without a browser."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
from support.console_client import SAME_ORIGIN, open_console
from support.hostile_words import HOSTILE, build_hostile_mail
from support.seeded_installation import WELCOME, Installation
from support.staff_people import StaffScene

from notifier import audit
from notifier.audit import AuditFilter
from notifier.auth import service_admin
from notifier.auth.staff_roles import StaffRole
from notifier.ids import generate_id
from notifier.runtime.wiring import ProcessParts
from notifier.status.selected_changes import MAX_SELECTED

MAIL = "/console/mail"
EMPTY = {"comment": ""}


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A support person's browser, and a caller."""

    client: httpx2.AsyncClient
    caller: httpx2.AsyncClient
    parts: ProcessParts
    actor: str

    async def submit(self, **fields: object) -> str:
        """Submit a mail; no sender runs."""
        reply = await self.caller.post("/v1/notifications", json=fields or WELCOME)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["id"])

    async def list_acts(self, object_id: str | None = None) -> list[tuple[str, str]]:
        """Action and actor of what the audit has of a person's acts."""
        async with self.parts.database.read() as connection:
            shop = await service_admin.find_service(connection, "shop")
            records = await audit.list_audit_records(
                connection, shop, AuditFilter(actor=self.actor), before=None, limit=200
            )
        return [
            (record.action, str(record.object_id))
            for record in records
            if object_id is None or str(record.object_id) == object_id
        ]


@pytest.fixture
async def desk(sqlite_installation: Installation) -> AsyncIterator[Desk]:
    """Support, signed in."""
    async with sqlite_installation.open_parts() as parts:
        person, signed_in = await StaffScene(parts.database, parts.clock).create_signed_in("Sam", StaffRole.SUPPORT)
        async with (
            open_console(parts, signed_in.token) as client,
            sqlite_installation.open_client(parts) as caller,
        ):
            client.headers.update(SAME_ORIGIN)
            yield Desk(client=client, caller=caller, parts=parts, actor=f"staff:{person.id}")


async def test_a_frame_may_do_nothing_and_is_recorded(desk: Desk) -> None:
    """The mail's document has a policy of its own with a sandbox; each look is in the audit."""
    id_ = await desk.submit(**build_hostile_mail("mallory@example.com"))
    reply = await desk.client.get(f"{MAIL}/{id_}/frame")
    policy = reply.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "form-action 'none'", "base-uri 'none'", "sandbox"} <= set(policy)
    assert not [rule for rule in policy if rule.startswith("script-src")]
    assert reply.headers["cache-control"] == "no-store"
    assert HOSTILE[0] in reply.text
    assert '<base target="_blank">' in reply.text  # in the sandbox a link opens nothing, and the mail stays
    assert await desk.list_acts(id_) == [("content.viewed", id_)]
    assert (await desk.client.get(f"{MAIL}/{id_}")).status_code == 200  # the page alone shows no content
    assert len(await desk.list_acts(id_)) == 1
    for view in ("text", "source", "headers", "values", "files"):
        assert (await desk.client.get(f"{MAIL}/{id_}?view={view}")).status_code == 200
    assert len(await desk.list_acts(id_)) == 6


async def test_an_attachment_is_only_ever_a_download(desk: Desk) -> None:
    """Whatever its type, it is given out as bytes to be stored; one that does not exist is 404."""
    id_ = await desk.submit(**build_hostile_mail("mallory@example.com"))
    reply = await desk.client.get(f"{MAIL}/{id_}/files/0")
    assert (reply.status_code, reply.content) == (200, b"Hello")
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"].startswith("attachment; filename*=UTF-8''scriptalert%28%27")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert await desk.list_acts(id_) == [("content.viewed", id_)]
    assert (await desk.client.get(f"{MAIL}/{id_}/files/10")).status_code == 404


async def test_ticked_mails_are_stopped_each_by_itself(desk: Desk) -> None:
    """Each has its own audit record; one that has ended is named, and leaves the others alone."""
    ids = [await desk.submit() for _ in range(3)]
    assert (await desk.client.post(f"{MAIL}/{ids[0]}/cancel", data=EMPTY)).status_code == 303
    ticked = {"id": [*ids, str(generate_id())], "q": "tag:x"}
    reply = await desk.client.post(f"{MAIL}/retry", data=ticked)
    assert (reply.status_code, reply.headers["location"]) == (303, f"{MAIL}?q=tag%3Ax")
    page = await desk.client.get(reply.headers["location"])
    assert "4 mails not sent again:" in page.text
    await desk.client.post(f"{MAIL}/cancel", data=ticked)
    assert "there is no such notification" in (await desk.client.get(MAIL)).text
    acts = await desk.list_acts()
    assert [act for act, _ in acts].count("notification.cancelled") == 3
    too_many = {"id": [str(generate_id()) for _ in range(MAX_SELECTED + 1)]}
    await desk.client.post(f"{MAIL}/cancel", data=too_many)
    assert "tick at least one mail, and at most 50" in (await desk.client.get(MAIL)).text


async def test_what_is_not_possible_any_more_is_said(desk: Desk) -> None:
    """A page that is out of date: the same page with the reason, and nothing is written."""
    id_ = await desk.submit()
    reply = await desk.client.post(f"{MAIL}/{id_}/retry", data=EMPTY)
    assert reply.status_code == 422
    assert "Only what failed or expired can be retried" in reply.text
    reply = await desk.client.post(f"{MAIL}/{id_}/decide", data={"decision": "sent", "comment": "I saw it"})
    assert reply.status_code == 422
    assert await desk.list_acts(id_) == []


async def test_the_state_is_sent_only_if_it_changed(desk: Desk) -> None:
    """A poll that knows the present state gets 204; after a change it gets the part, which asks no more."""
    id_ = await desk.submit()
    part = await desk.client.get(f"{MAIL}/{id_}/state", headers={"HX-Request": "true"})
    seen = part.text.partition("seen=")[2].partition('"')[0]
    assert (await desk.client.get(f"{MAIL}/{id_}/state?seen={seen}")).status_code == 204
    await desk.client.post(f"{MAIL}/{id_}/cancel", data=EMPTY)
    changed = await desk.client.get(f"{MAIL}/{id_}/state?seen={seen}")
    assert "No. It was stopped" in changed.text
    assert "hx-get" not in changed.text


async def test_a_message_id_leads_to_its_mail(desk: Desk) -> None:
    """The id of a mail in any spelling opens it; one that is not there is explained."""
    id_ = await desk.submit()
    message_id = (await desk.caller.get(f"/v1/notifications/{id_}")).json()["message_id"]
    for text in (id_, message_id):
        reply = await desk.client.get(MAIL, params={"q": text})
        assert (reply.status_code, reply.headers["location"]) == (303, f"{MAIL}/{id_}")
    missing = await desk.client.get(MAIL, params={"q": str(generate_id())})
    assert "There is no mail with this id." in missing.text
    assert (await desk.client.get(f"{MAIL}/{generate_id()}")).status_code == 404
