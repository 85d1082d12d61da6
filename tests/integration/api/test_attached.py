"""Attachments from POST to the received mail: same bytes, same names, stored once, or refused."""

import os
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, faults, outcome
from sqlalchemy import func, select
from support import api_caller
from support.attachment_files import EXE, FILES, PDF, PNG, build_attachment
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME

from notifier.db.tables import Attachment
from notifier.runtime import wiring

MIB = 1024 * 1024
INLINE = {"subject": "Look", "html": '<p>See <img src="cid:logo@shop" alt="logo"></p>\n', "text": "See\n"}


async def _kept(parts: wiring.ProcessParts) -> int:
    async with parts.database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(Attachment))).scalar_one())


async def _post(client: httpx2.AsyncClient, *attachments: Any, **fields: Any) -> httpx2.Response:
    return await client.post("/v1/notifications", json=WELCOME | fields | {"attachments": attachments})


async def _arrived(parts: wiring.ProcessParts, relay: ScriptedRelay) -> EmailMessage:
    """The parsed mail as the relay received it."""
    async with wiring.run_sender(parts):
        await api_caller.wait_until_drained(parts.database)
    return message_from_bytes(relay.received[0].data, policy=policy.default)


async def test_every_type_arrives_as_it_was(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """For each file type, name, type and bytes arrive as posted."""
    files = [build_attachment(name, kind) for kind, (name, _) in FILES.items()]
    assert (await _post(client, *files)).status_code == 202
    message = await _arrived(parts, relay)
    attachments = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_attachments()
    ]
    assert attachments == [(name, kind, data) for kind, (name, data) in FILES.items()]
    assert message.get_body(("html",)) is not None


@pytest.mark.parametrize("name", ["Rechnung №7 über “alles”.pdf", "חשבונית.pdf", "a b; c=d.pdf", "x" * 196 + ".pdf"])
async def test_names_of_any_script_arrive(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, name: str
) -> None:
    """The recipient sees the caller's file name in any script (RFC 2231)."""
    assert (await _post(client, build_attachment(name))).status_code == 202
    (part,) = (await _arrived(parts, relay)).iter_attachments()
    assert (part.get_filename(), part.get_payload(decode=True)) == (name, PDF)


async def test_an_inline_image_is_related_to_the_html(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """An image shown by `cid:` is a related part of the HTML, not an attachment."""
    body = {"to": "ada@example.com", "content": INLINE}
    image = build_attachment("logo.png", "image/png", content_id="logo@shop")
    reply = await client.post("/v1/notifications", json=body | {"attachments": [image, build_attachment()]})
    assert reply.status_code == 202, reply.text
    message = await _arrived(parts, relay)
    images = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert [(part["Content-ID"], part.get_content_disposition()) for part in images] == [("<logo@shop>", "inline")]
    assert images[0].get_payload(decode=True) == PNG
    (related,) = [part for part in message.walk() if part.get_content_type() == "multipart/related"]
    assert [part.get_content_type() for part in related.iter_parts()] == ["text/html", "image/png"]
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.pdf"]


async def test_the_same_octets_are_kept_once(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, written: Written
) -> None:
    """Equal bytes are stored once, whatever the name, mail or copy; a replay stores nothing."""
    headers = {"Idempotency-Key": "k"}
    body = WELCOME | {"cc": ["cleo@example.com"], "attachments": [build_attachment("a.pdf"), build_attachment("b.pdf")]}
    for _ in range(2):
        assert (await client.post("/v1/notifications", json=body, headers=headers)).status_code == 202
    await _post(client, build_attachment("c.pdf"), build_attachment("a.txt", "text/plain"))
    assert await _kept(parts) == 2
    assert await written() == (3, 2, 3)
    await _arrived(parts, relay)
    pair = [mail for mail in relay.received if mail.message["Cc"]]
    assert len(pair) == 2
    assert pair[0].data == pair[1].data


@pytest.mark.parametrize(
    ("attachment", "field"),
    [
        ({**build_attachment(), "content": "no base64!"}, "content"),
        ({**build_attachment(), "content": ""}, "content"),
        (build_attachment("../../x.pdf"), "filename"),
        (build_attachment('a".pdf'), "filename"),
        (build_attachment("a\r\nBcc: e@x.org.pdf"), "filename"),
        (build_attachment("a.exe"), "filename"),
        (build_attachment(content_type="application/x-msdownload", data=EXE), "content_type"),
        (build_attachment(data=EXE), "content_type"),
        (build_attachment("a.png", "image/png", PDF), "content_type"),
        (build_attachment(content_id="x"), "content_id"),
    ],
)
async def test_what_must_not_be_attached_is_refused(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written, attachment: dict[str, Any], field: str
) -> None:
    """A15: 422 with a pointer; neither the mail nor its valid attachments are stored."""
    reply = await _post(client, build_attachment("good.pdf"), attachment)
    assert (f"/attachments/1/{field}", "attachment_rejected") in faults(reply)
    assert {pointer.split("/")[2] for pointer, _ in faults(reply)} == {"1"}
    assert await written() == NOTHING
    assert await _kept(parts) == 0


@pytest.mark.parametrize(
    ("attachment", "fault"),
    [
        ({"filename": "a.pdf", "content_type": "application/pdf"}, ("/attachments/0/content", "missing_field")),
        ({**build_attachment(), "url": "http://x"}, ("/attachments/0/url", "unknown_field")),
        ({**build_attachment(), "content": 7}, ("/attachments/0/content", "invalid_type")),
        ({**build_attachment(), "filename": "x" * 201}, ("/attachments/0/filename", "too_long")),
        ("a.pdf", ("/attachments/0", "invalid_type")),
    ],
)
async def test_an_attachment_of_another_shape_is_refused(
    client: httpx2.AsyncClient, attachment: Any, fault: tuple[str, str]
) -> None:
    """A wrong shape of an attachment is a fault like that of any field."""
    assert faults(await _post(client, attachment)) == {fault}


async def test_ten_mebibytes_arrive_and_no_more(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, written: Written
) -> None:
    """One byte over the limit of all attachments is 422; far more is refused while being read."""
    relay.extensions = ("SIZE 16777216", "8BITMIME", "ENHANCEDSTATUSCODES")  # base64 makes it 14 MiB
    data = PDF + os.urandom(10 * MIB - len(PDF))
    assert (await _post(client, build_attachment(data=data))).status_code == 202
    more = await _post(
        client, build_attachment(data=data), {**build_attachment("b.txt", "text/plain"), "content": "QQ=="}
    )
    assert faults(more) == {("/attachments", "attachment_rejected")}
    assert outcome(await _post(client, build_attachment(data=data + bytes(2 * MIB)))) == (413, "request_too_large")
    assert await written() == (1, 1, 1)
    (part,) = (await _arrived(parts, relay)).iter_attachments()
    assert part.get_payload(decode=True) == data


async def test_attachments_make_no_room_for_other_fields(client: httpx2.AsyncClient, written: Written) -> None:
    """The other fields may have 512 KiB, with or without attachments."""
    large = {"variables": {"name": "x" * (512 * 1024), "product": "p"}}
    assert outcome(await _post(client, **large)) == (413, "request_too_large")
    assert outcome(await _post(client, build_attachment(), **large)) == (413, "request_too_large")
    assert await written() == NOTHING
