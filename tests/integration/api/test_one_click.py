"""One-click unsubscribe (RFC 8058) and content types with parameters, as the relay gets them."""

from email import message_from_bytes, policy
from typing import Any

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, faults
from support import api_caller
from support.attachment_files import PDF, build_attachment
from support.scripted_relay import ScriptedRelay

from notifier.runtime import wiring
from notifier.submission import request_validation

LINK, POST = "List-Unsubscribe", "List-Unsubscribe-Post"
ONE_CLICK = "List-Unsubscribe=One-Click"
HTTPS = "<https://shop.example/u/1>"
MAILTO = "<mailto:out@shop.example>"
OWN: dict[str, Any] = {"to": "ada@example.com", "content": {"subject": "s", "text": "t"}}
TOKEN = "https://shop.example/u/" + "x" * 120


async def _wire(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, body: dict[str, Any]
) -> bytes:
    """The bytes that the relay gets."""
    reply = await client.post("/v1/notifications", json=body)
    assert reply.status_code == 202, reply.text
    async with wiring.run_sender(parts):
        await api_caller.wait_for_status(client, reply.headers["location"], "sent")
    (mail,) = relay.received
    return bytes(mail.data)


async def test_the_pair_leaves_as_it_was_given(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Both fields are sent once, the link unfolded and unencoded, the value as in the RFC."""
    headers = {LINK: f"<{TOKEN}>, {MAILTO}", POST: ONE_CLICK}
    wire = await _wire(parts, client, relay, OWN | {"headers": headers})
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in wire
    assert f"<{TOKEN}>".encode() in wire
    message = message_from_bytes(wire, policy=policy.default)
    assert message.get_all(POST) == [ONE_CLICK]
    assert [str(value).split() for value in message.get_all(LINK, [])] == [[f"<{TOKEN}>,", MAILTO]]


@pytest.mark.parametrize(
    "headers",
    [
        {LINK: HTTPS, POST: ONE_CLICK},
        {LINK: f"{MAILTO}, {HTTPS}", POST: ONE_CLICK},
        {LINK.lower(): HTTPS.upper(), POST.upper(): ONE_CLICK},
        {LINK: HTTPS},
        {LINK: MAILTO},
        {"X-A": "1", "X-B": "2"},
    ],
)
def test_what_may_be_said_of_unsubscribing(headers: dict[str, str]) -> None:
    """The link may stand alone, or with an https link that accepts POST."""
    assert request_validation.check_headers(headers, ("x-a", "x-b")) == []


@pytest.mark.parametrize(
    ("headers", "pointer", "code"),
    [
        ({POST: ONE_CLICK}, POST, "needs List-Unsubscribe with an https link"),
        ({LINK: MAILTO, POST: ONE_CLICK}, POST, "needs List-Unsubscribe with an https link"),
        ({LINK: "<http://shop.example/u/1>", POST: ONE_CLICK}, POST, "https"),
        ({LINK: "https://shop.example/u/1", POST: ONE_CLICK}, POST, "angle brackets"),
        ({LINK: HTTPS, POST: "List-Unsubscribe=one-click"}, POST, "its only value is List-Unsubscribe=One-Click"),
        ({LINK: HTTPS, POST: "List-Unsubscribe=One-Click "}, POST, "its only value"),
        ({LINK: HTTPS, POST: "One-Click"}, POST, "its only value"),
        ({LINK: HTTPS, POST: ""}, POST, "its only value"),
        ({LINK: HTTPS, LINK.lower(): MAILTO}, LINK.lower(), "List-Unsubscribe is the same header"),
        ({"X-A": "1", "x-a": "2"}, "x-a", "X-A is the same header; give it once"),
    ],
)
def test_half_of_the_standard_is_refused(headers: dict[str, str], pointer: str, code: str) -> None:
    """A List-Unsubscribe-Post without an https link is refused."""
    (fault,) = request_validation.check_headers(headers, ("x-a", "x-b"))
    assert (fault.pointer, fault.code) == (f"/headers/{pointer}", "invalid_header_value")
    assert code in fault.detail


async def test_the_pair_is_refused_by_the_api_as_well(client: httpx2.AsyncClient, written: Written) -> None:
    """The API reports an invalid pair with a pointer."""
    reply = await client.post("/v1/notifications", json=OWN | {"headers": {POST: ONE_CLICK}})
    assert faults(reply) == {(f"/headers/{POST}", "invalid_header_value")}
    assert await written() == NOTHING


async def test_types_with_parameters_leave_without_them(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """A parser reads type, charset, calendar method and file name of each attachment."""
    calendar = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
    files = [
        build_attachment("invoice.pdf", 'application/pdf; name="in;voice.pdf"', b"\n" + PDF),
        build_attachment("list.csv", "text/csv; charset=utf-8; header=present", b"a,b\n1,2\n"),
        build_attachment("meet.ics", 'Text/Calendar; component=VEVENT; method="request"', calendar),
    ]
    wire = await _wire(parts, client, relay, OWN | {"attachments": files})
    parsed = list(message_from_bytes(wire, policy=policy.default).iter_attachments())
    assert [(item.get_content_type(), dict(item["content-type"].params)) for item in parsed] == [
        ("application/pdf", {}),
        ("text/csv", {"charset": "utf-8"}),
        ("text/calendar", {"charset": "utf-8", "method": "REQUEST"}),
    ]
    assert [item.get_filename() for item in parsed] == ["invoice.pdf", "list.csv", "meet.ics"]
    assert parsed[0].get_content() == b"\n" + PDF
    assert all(item.defects == [] for item in parsed)
