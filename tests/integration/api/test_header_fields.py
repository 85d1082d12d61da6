"""Values of header fields: what callers may set, and that a value cannot add a field."""

from typing import Any

import httpx2
from integration.api.refusal import NOTHING, Written, faults, outcome
from integration.api.test_faults import SHIPPED
from support.seeded_installation import WELCOME, Installation

from notifier.runtime import wiring

VARIABLES = {"name": "Ada", "product": "Larkspur"}
BREAKING = {
    "CR": "\r",
    "LF": "\n",
    "CRLF and a field": "\r\nBcc: e@x.org",
    "vertical tab": "\x0b",
    "form feed": "\x0c",
    "escape": "\x1b",
    "delete": "\x7f",
    "U+0085": "\x85",
    "U+2028": "\u2028",
    "U+2029": "\u2029",
}
COMMANDING = (
    *("X-SMTPAPI", "x-smtpapi", "X-SG-EID", "X-MSYS-API", "X-MC-BccAddress", "X-MC-Subaccount", "X-Mandrill-Bcc"),
    *("X-PM-Bcc", "X-PM-Message-Stream", "X-Postmark-Server", "X-SES-SOURCE-ARN", "X-SES-CONFIGURATION-SET"),
    *("X-Mailgun-Variables", "X-Mailgun-Drop-Message", "X-MJ-CustomID", "X-Mailjet-Campaign", "X-Mailin-custom"),
    *("X-Sib-Sandbox", "X-Brevo-Tag", "X-Sparkpost-Api", "X-MSFBL", "X-ElasticEmail-Settings", "X-Campaign-Id"),
    *("X-Envelope-To", "X-Envelope-From", "X-Original-To", "X-Rcpt-To", "X-RCPT-TO", "X-Bcc", "X-Cc", "X-To"),
    *("X-Forwarded-To", "X-Failed-Recipients", "X-Sender", "X-Receiver", "X-Virtual-MTA", "X-Job", "X-Resent-To"),
    *("X-MS-Exchange-Organization-SCL", "X-Return-Path", "X-Mailtrap-Tag", "X-xsMailingId", "X-Notifier-Id"),
)
"""What some relay, or we, would obey."""
FORBIDDEN = (
    "Bcc",
    "bcc",
    "Cc",
    "To",
    "From",
    "Sender",
    "Reply-To",
    "Return-Path",
    "Subject",
    "Date",
    "Message-ID",
    "Received",
    "DKIM-Signature",
    "ARC-Seal",
    "Authentication-Results",
    "Content-Type",
    "content-transfer-encoding",
    "MIME-Version",
    "X-Notifier-Original-To",
    "x-notifier-anything",
    "x y:",
    "X y",
    "X-A:",
    "X-A\r\nBcc",
    "X-Ä",
    "X-" + "a" * 63,
    "",
    " X-A",
    "X_A",
    "X-Comment",
    "Resent-To",
    "Delivered-To",
    "Apparently-To",
    "Errors-To",
    *COMMANDING,
)
ALLOWED = {
    "List-Unsubscribe": "<https://shop.example/unsubscribe/1>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    "List-Id": "<news.shop.example>",
    "References": "<1@shop.example>",
    "in-reply-to": "<1@shop.example>",
    "Feedback-ID": "a:b:c:d",
    "Importance": "high",
    "Precedence": "bulk",
    "X-Order": "42",
    "x-reference": "Grüße 😀",
}


async def test_a_break_in_any_header_value_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """A line break in a name, a custom header or a subject variable is refused at any position."""
    pointers = ("/from", "/reply_to", "/headers/X-Order", "/headers/List-Id", "/variables/name", "/variables/product")
    for name, breaking in BREAKING.items():
        for text in (f"A{breaking}B", f"{breaking}A", f"A{breaking}"):
            body: dict[str, Any] = WELCOME | {
                "from": f"{text} <a@shop.example>",
                "reply_to": f"{text} <a@x.org>",
                "headers": {"X-Order": text, "List-Id": text},
                "variables": {"name": text, "product": text},
            }
            reply = await client.post("/v1/notifications", json=body)
            assert faults(reply) == {(pointer, "invalid_header_value") for pointer in pointers}, name
    assert await written() == NOTHING


async def test_a_subject_that_is_too_long_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """A14: a subject over 998 characters is refused, literal or rendered."""
    own = {"to": "ada@example.com", "content": {"subject": "x" * 10_000, "text": "Hi"}}
    assert faults(await client.post("/v1/notifications", json=own)) == {("/content/subject", "too_long")}
    for length in (999, 10_000):
        reply = await client.post("/v1/notifications", json=WELCOME | {"variables": VARIABLES | {"name": "x" * length}})
        assert faults(reply) == {("/variables/name", "too_long")}
    assert await written() == NOTHING
    reply = await client.post("/v1/notifications", json=WELCOME | {"variables": VARIABLES | {"name": "x" * 998}})
    assert reply.status_code == 202


async def test_nul_is_refused_in_every_header_value(client: httpx2.AsyncClient, written: Written) -> None:
    """NUL is refused while parsing JSON, because no mail or text column can hold it."""
    places: tuple[dict[str, Any], ...] = (
        {"from": "A\x00B <a@shop.example>"},
        {"reply_to": "A\x00B <a@x.org>"},
        {"headers": {"X-Order": "A\x00B"}},
        {"headers": {"X-Order\x00": "A"}},
        {"variables": VARIABLES | {"name": "A\x00B"}},
    )
    for place in places:
        assert outcome(await client.post("/v1/notifications", json=WELCOME | place)) == (400, "malformed_json"), place
    assert await written() == NOTHING


async def test_a_break_after_the_address_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """A line break after the closing bracket, where `$` of a pattern would match, is refused."""
    body = WELCOME | {"from": "A <a@shop.example>\n", "reply_to": "a@x.org\n"}
    reply = await client.post("/v1/notifications", json=body)
    assert faults(reply) == {("/from", "invalid_header_value"), ("/reply_to", "invalid_header_value")}
    assert await written() == NOTHING


async def test_a_variable_inside_another_is_checked_if_the_subject_shows_it(
    client: httpx2.AsyncClient, written: Written
) -> None:
    """`order.number` in the subject may have no line break; `order.note` in the text may."""
    body = {"to": "ada@example.com", "template": "order_shipped", "variables": SHIPPED}
    assert (await client.post("/v1/notifications", json=body)).status_code == 202
    order = {"order": {"number": "1\r\nBcc: e@x.org", "note": "two\nlines"}}
    reply = await client.post("/v1/notifications", json=body | {"variables": SHIPPED | order})
    assert faults(reply) == {("/variables/order/number", "invalid_header_value")}
    assert await written() == (1, 1, 1)


async def test_a_header_outside_the_allow_list_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """Headers that control relays or clients, reserved ones and invalid names are refused."""
    outcomes = {}
    for name in FORBIDDEN:
        reply = await client.post("/v1/notifications", json=WELCOME | {"headers": {name: "x"}})
        outcomes[name] = faults(reply) if reply.status_code == 422 else reply.status_code
    assert outcomes == {name: {(f"/headers/{name}", "header_not_allowed")} for name in FORBIDDEN}
    assert await written() == NOTHING


async def test_headers_on_the_allow_list_are_taken(client: httpx2.AsyncClient, written: Written) -> None:
    """List and thread headers and harmless `X-…` headers are accepted, in any script."""
    reply = await client.post("/v1/notifications", json=WELCOME | {"headers": ALLOWED})
    assert reply.status_code == 202
    assert await written() == (1, 1, 1)


async def test_an_operator_says_which_custom_headers_there_are(
    installation: Installation, parts: wiring.ProcessParts, written: Written
) -> None:
    """The setting allows names and prefixes in any case, except those that control a relay."""
    allowed = ("x-shop-*", "x-trace", "x-smtpapi", "x-mc-bccaddress", "x-sm-*")
    outcomes = {}
    async with (
        installation.with_settings(api={"allowed_headers": allowed}).open_parts() as widened,
        installation.open_client(widened) as client,
    ):
        names = ("X-Shop-Order", "x-shop-a-b", "X-TRACE", "X-Shop-", "X-Shop", "X-Traces", "X-Order", *COMMANDING)
        for name in names:
            reply = await client.post("/v1/notifications", json=WELCOME | {"headers": {name: "x"}})
            outcomes[name] = reply.status_code
            if reply.status_code == 422:
                assert faults(reply) == {(f"/headers/{name}", "header_not_allowed")}
                assert ("NOTIFIER_API__ALLOWED_HEADERS" in reply.text) == (name not in COMMANDING)
        batch = {"notifications": [WELCOME], "defaults": {"headers": {"X-SMTPAPI": "{}"}}}
        assert (await client.post("/v1/notifications/batch", json=batch)).status_code == 422
        twice = WELCOME | {"headers": {"X-Trace": "1", "x-trace": "2"}}
        assert faults(await client.post("/v1/notifications", json=twice)) == {
            ("/headers/x-trace", "invalid_header_value")
        }
    assert {name for name, status in outcomes.items() if status == 202} == {"X-Shop-Order", "x-shop-a-b", "X-TRACE"}
    assert await written() == (3, 3, 3)


async def test_a_header_value_has_its_limits(client: httpx2.AsyncClient, written: Written) -> None:
    """At most 900 characters; structured fields are ASCII; a display name has at most 256."""
    body: dict[str, Any] = WELCOME | {
        "headers": {"X-Order": "x" * 901, "List-Id": "<ü.example>", "X-Reference": "x" * 900},
        "from": f"{'n' * 257} <a@shop.example>",
        "reply_to": f"{'n' * 256} <a@x.org>",
    }
    reply = await client.post("/v1/notifications", json=body)
    pointers = ("/headers/X-Order", "/headers/List-Id", "/from")
    assert faults(reply) == {(pointer, "invalid_header_value") for pointer in pointers}
    assert await written() == NOTHING
