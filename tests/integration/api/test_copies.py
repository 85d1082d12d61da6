"""Cc and bcc: copies with an envelope and status of their own, written in the first mail's transaction.

A blind copy is known to nobody but its own recipient and the service that asked for it.
"""

import asyncio
from typing import Any

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, faults, outcome
from support import api_caller, uncertain_mails
from support.scripted_relay import STALL, ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

CC, BCC = ["cleo@example.com", "Carl@Example.com"], ["boss@example.com"]
NORMALISED = ["ada@example.com", "cleo@example.com", "Carl@example.com", "boss@example.com"]
COPIES: dict[str, Any] = {"cc": CC, "bcc": BCC}


async def _copies(client: httpx2.AsyncClient, path: str) -> dict[str, dict[str, Any]]:
    """The copies of a notification, by address."""
    return {copy["to"]: copy for copy in (await client.get(path)).json()["copies"]}


async def _listed(client: httpx2.AsyncClient, **filters: Any) -> set[str]:
    notifications = (await client.get("/v1/notifications", params=filters)).json()["notifications"]
    return {item["to"] for item in notifications}


async def _sent(parts: wiring.ProcessParts) -> None:
    """Run a sender until nothing is left to do."""
    async with wiring.run_sender(parts):
        await api_caller.wait_until_drained(parts.database)


# -- what leaves ---------------------------------------------------------------------------------


async def test_all_get_the_same_bytes_each_with_its_own_envelope(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """All copies have one Message-ID and document; each has its transaction, and only cc is named."""
    await api_caller.submit_mail(client, **COPIES)
    await _sent(parts)
    assert sorted(mail.recipient for mail in relay.received) == sorted(NORMALISED)
    (data,) = {mail.data for mail in relay.received}
    message = relay.received[0].message
    assert (message["To"], message["Bcc"]) == ("ada@example.com", None)
    assert [item.strip() for item in message["Cc"].split(",")] == ["cleo@example.com", "Carl@example.com"]
    assert b"boss" not in data.lower()
    assert len({mail.sender for mail in relay.received}) == 1


async def test_only_blind_copies_leave_no_cc_field(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A mail that has only bcc looks like one without copies."""
    await api_caller.submit_mail(client, bcc=BCC)
    await _sent(parts)
    assert {mail.message["Cc"] for mail in relay.received} == {None}
    assert len(relay.received) == 2


async def test_one_refused_copy_is_its_own_affair(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A recipient that the relay refuses fails alone; the other mails are sent."""
    relay.say("cleo@example.com", "RCPT", "550 5.7.1 not you")
    path = await api_caller.submit_mail(client, **COPIES)
    await _sent(parts)
    copies = await _copies(client, path)
    assert {to: item["status"] for to, item in copies.items()} == {
        "cleo@example.com": "failed",
        "Carl@example.com": "sent",
        "boss@example.com": "sent",
    }
    assert (await client.get(path)).json()["status"] == "sent"
    failed = (await client.get(f"/v1/notifications/{copies['cleo@example.com']['id']}")).json()
    assert (failed["reason"], [item["code"] for item in failed["attempts"]]) == ("message_refused", [550])


async def test_a_suppressed_copy_is_suppressed_alone(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, written: Written
) -> None:
    """A suppressed copy gets no entry, also as bcc; the others are sent."""
    relay.say("boss@example.com", "RCPT", "550 5.1.1 no such user")
    await api_caller.submit_mail(client, "boss@example.com")
    await _sent(parts)
    path = await api_caller.submit_mail(client, **COPIES)
    assert await written() == (5, 2, 3)
    statuses = {to: copy["status"] for to, copy in (await _copies(client, path)).items()}
    assert statuses == {"cleo@example.com": "queued", "Carl@example.com": "queued", "boss@example.com": "suppressed"}
    await _sent(parts)
    assert sorted(mail.recipient for mail in relay.received) == sorted(NORMALISED[:3])


async def test_the_first_may_be_suppressed_and_the_copies_leave(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """If the first mail is suppressed, the copies are sent with the To field unchanged."""
    relay.say("ada@example.com", "RCPT", "550 5.1.1 no such user")
    await api_caller.submit_mail(client)
    await _sent(parts)
    reply = await client.post("/v1/notifications", json=WELCOME | {"cc": ["cleo@example.com"]})
    assert reply.json()["status"] == "suppressed"
    await _sent(parts)
    (mail,) = relay.received
    assert (mail.recipient, mail.message["To"]) == ("cleo@example.com", "ada@example.com")


# -- what is told --------------------------------------------------------------------------------


async def test_the_id_is_that_of_the_first_and_copies_are_listed_when_asked_for(client: httpx2.AsyncClient) -> None:
    """The first lists its copies with roles, a copy names its first, lists leave copies out."""
    path = await api_caller.submit_mail(client, **COPIES)
    first = (await client.get(path)).json()
    assert (first["to"], first["role"], first["parent_id"]) == ("ada@example.com", "to", None)
    assert [(item["to"], item["role"], item["status"]) for item in first["copies"]] == [
        ("cleo@example.com", "cc", "queued"),
        ("Carl@example.com", "cc", "queued"),
        ("boss@example.com", "bcc", "queued"),
    ]
    copy = (await client.get(f"/v1/notifications/{first['copies'][2]['id']}")).json()
    assert (copy["role"], copy["parent_id"], copy["copies"]) == ("bcc", first["id"], [])
    assert copy["message_id"] == first["message_id"]
    assert await _listed(client) == {"ada@example.com"}
    assert await _listed(client, copies="true") == set(NORMALISED)
    assert await _listed(client, to="boss@example.com") == set()
    assert await _listed(client, to="BOSS@example.com", copies="true") == {"boss@example.com"}


async def test_a_replay_writes_no_second_set(client: httpx2.AsyncClient, written: Written) -> None:
    """Twenty concurrent requests with one key write one notification and one set of copies."""
    headers = {"Idempotency-Key": "order-1"}
    replies = await asyncio.gather(
        *(client.post("/v1/notifications", json=WELCOME | COPIES, headers=headers) for _ in range(20))
    )
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert await written() == (4, 1, 4)


async def test_copies_in_a_batch_belong_to_their_notification(client: httpx2.AsyncClient, written: Written) -> None:
    """Each item of a batch may have copies; the batch counts its items."""
    bodies = [WELCOME | {"to": "a@example.com", "cc": ["c@example.com"]}, WELCOME | {"to": "b@example.com"}]
    reply_body = (await client.post("/v1/notifications/batch", json={"notifications": bodies})).json()
    assert await written() == (3, 2, 3)
    batch = (await client.get(f"/v1/batches/{reply_body['batch_id']}")).json()
    assert (batch["size"], batch["accepted"], batch["statuses"]) == (2, 2, {"queued": 2})
    assert await _listed(client, batch_id=reply_body["batch_id"]) == {"a@example.com", "b@example.com"}


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cc": ["Ada@Example.com"]}, {("/cc/0", "duplicate_recipient")}),
        ({"cc": ["c@x.org"], "bcc": ["d@x.org", "C@X.org"]}, {("/bcc/1", "duplicate_recipient")}),
        ({"cc": ["c@x.org", "nobody"]}, {("/cc/1", "invalid_address")}),
        ({"bcc": ["a@x.org\r\nBcc: e@x.org"]}, {("/bcc/0", "invalid_address")}),
        ({"cc": [f"u{n}@x.org" for n in range(30)], "bcc": [f"v{n}@x.org" for n in range(21)]}, {("/cc", "too_many")}),
        ({"cc": "c@x.org"}, {("/cc", "invalid_type")}),
        ({"cc": [7]}, {("/cc/0", "invalid_type")}),
    ],
)
async def test_bad_copies_refuse_all(
    client: httpx2.AsyncClient, written: Written, fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    """An invalid copy refuses the whole request, with its pointer."""
    assert faults(await client.post("/v1/notifications", json=WELCOME | fields)) == expected
    assert await written() == NOTHING


async def test_fifty_copies_are_accepted(client: httpx2.AsyncClient, written: Written) -> None:
    """The maximum of 50 copies is accepted."""
    await api_caller.submit_mail(client, cc=[f"u{n}@x.org" for n in range(25)], bcc=[f"v{n}@x.org" for n in range(25)])
    assert await written() == (51, 1, 51)


# -- cancelling ----------------------------------------------------------------------------------


async def test_cancel_stops_the_first_and_its_copies(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """One cancel stops the first mail and all its copies."""
    path = await api_caller.submit_mail(client, **COPIES)
    assert await uncertain_mails.request_change(client, path, "cancel") == (200, "cancelled")
    assert {copy["status"] for copy in (await _copies(client, path)).values()} == {"cancelled"}
    await _sent(parts)
    assert relay.received == []


async def test_cancel_stops_what_has_not_begun(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """While the first is being sent, its copies are still cancelled; a second cancel is 409."""
    relay.say("ada@example.com", "DATA", STALL)
    relay.say("cleo@example.com", "RCPT", "451 4.7.1 later")
    async with wiring.run_sender(parts):
        path = await api_caller.submit_mail(client, cc=["cleo@example.com"])
        await uncertain_mails.until_marked(parts.database, path)
        copy = (await client.get(path)).json()["copies"][0]
        await api_caller.wait_for_status(client, f"/v1/notifications/{copy['id']}", "deferred")
        assert await uncertain_mails.request_change(client, path, "cancel") == (200, "queued")
        assert (await client.get(path)).json()["copies"][0]["status"] == "cancelled"
        relay.resume.set()
        await api_caller.wait_for_status(client, path, "sent")
    assert [mail.recipient for mail in relay.received] == ["ada@example.com"]
    cancelled = (await client.get(f"/v1/notifications/{copy['id']}")).json()
    assert cancelled["status"] == "cancelled"


async def test_cancelling_what_has_all_left_is_refused(parts: wiring.ProcessParts, client: httpx2.AsyncClient) -> None:
    """If no mail can be stopped, cancel is 409."""
    path = await api_caller.submit_mail(client, **COPIES)
    await _sent(parts)
    assert await uncertain_mails.request_change(client, path, "cancel") == (409, "already_ended")


async def test_a_copy_can_be_cancelled_alone(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A copy is cancelled by its own id, only by its own service."""
    path = await api_caller.submit_mail(client, **COPIES)
    boss = f"/v1/notifications/{(await _copies(client, path))['boss@example.com']['id']}"
    assert await uncertain_mails.request_change(client, boss, "cancel") == (200, "cancelled")
    await _sent(parts)
    assert sorted(mail.recipient for mail in relay.received) == sorted(NORMALISED[:3])


async def test_copies_are_nobody_elses(installation: Installation, parts: wiring.ProcessParts) -> None:
    """Another service can neither see nor change the first mail or a copy."""
    async with (
        installation.open_client(parts) as shop,
        installation.open_client(parts, installation.keys.other) as other,
    ):
        path = await api_caller.submit_mail(shop, **COPIES)
        for notification in [
            path,
            *(f"/v1/notifications/{copy['id']}" for copy in (await _copies(shop, path)).values()),
        ]:
            assert outcome(await other.get(notification)) == (404, "not_found")
            assert await uncertain_mails.request_change(other, notification, "cancel") == (404, "not_found")
        assert await _listed(other, copies="true") == set()
