"""Mails with content from the caller: sent as posted, in each part."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, faults
from support import api_caller
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME

from notifier.runtime import wiring

TO = {"to": "ada@example.com"}
SUBJECT = "Invoice {{ number }} — 100 % ünique {% raw %}"
HTML = "<p>Dear {{ name }}, {% if x %} &amp; <b>ünïcode</b> ☃ {# no comment #}</p>\n<p>" + "long " * 300 + "</p>\n"
TEXT = "Dear {{ name }},\n.\n.. a dot\nFrom here ☃ {% endif %}\n" + "x" * 1200 + "\n"


async def _mail(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, content: dict[str, Any], **fields: Any
) -> EmailMessage:
    """The parsed mail that the relay gets for this content."""
    reply = await client.post("/v1/notifications", json=TO | fields | {"content": content})
    assert reply.status_code == 202, reply.text
    async with wiring.run_sender(parts):
        await api_caller.wait_for_status(client, reply.headers["location"], "sent")
    (mail,) = relay.received
    return message_from_bytes(mail.data, policy=policy.default)


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content()).replace("\r\n", "\n")


async def test_both_parts_leave_literally(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Content is not rendered, escaped or cut."""
    message = await _mail(parts, client, relay, {"subject": SUBJECT, "html": HTML, "text": TEXT})
    assert message["Subject"] == SUBJECT
    assert message.get_content_type() == "multipart/alternative"
    assert _part(message, "html") == HTML
    assert _part(message, "plain") == TEXT


async def test_text_alone_has_no_html(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Content with text only becomes a mail with one part."""
    message = await _mail(parts, client, relay, {"subject": SUBJECT, "text": TEXT})
    assert message.get_content_type() == "text/plain"
    assert _part(message, "plain") == TEXT


async def test_the_text_of_html_alone_is_made(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Content with HTML only gets a generated text part."""
    message = await _mail(parts, client, relay, {"subject": SUBJECT, "html": HTML})
    assert _part(message, "html") == HTML
    text = _part(message, "plain")
    assert "Dear {{ name }}, {% if x %} & ünïcode ☃" in text
    assert "<p>" not in text


async def test_it_has_its_fields_like_any_mail(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Sender, reply address, headers and Message-ID are set; GET shows no template."""
    content = {"subject": "Hello", "text": "Hi\n"}
    fields = {"from": "Shop <hello@shop.example>", "reply_to": "desk@shop.example", "headers": {"X-Order": "{{ 7 }}"}}
    message = await _mail(parts, client, relay, content, **fields)
    names = ("From", "Reply-To", "X-Order", "To")
    assert [message[name] for name in names] == [
        "Shop <hello@shop.example>",
        "desk@shop.example",
        "{{ 7 }}",
        "ada@example.com",
    ]
    (notification,) = (await client.get("/v1/notifications")).json()["notifications"]
    assert (notification["template"], notification["template_version"]) == (None, None)
    assert notification["message_id"] == message["Message-ID"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (WELCOME | {"content": {"subject": "x", "text": "y"}}, {("/content", "template_or_content")}),
        (TO, {("/template", "missing_field")}),
        (TO | {"content": {"subject": "x"}}, {("/content", "missing_field")}),
        (TO | {"content": {"subject": "x", "html": "", "text": ""}}, {("/content", "missing_field")}),
        (TO | {"content": {"text": "y"}}, {("/content/subject", "missing_field")}),
        (TO | {"content": {"subject": "", "text": "y"}}, {("/content/subject", "invalid_type")}),
        (TO | {"content": {"subject": "x", "text": "y"}, "variables": {"a": 1}}, {("/variables", "needs_template")}),
        (TO | {"content": {"subject": "x", "text": "y"}, "locale": "de"}, {("/locale", "needs_template")}),
        (
            TO | {"content": {"subject": "x", "text": "y"}, "template_version": 1},
            {("/template_version", "needs_template")},
        ),
        (
            TO | {"content": {"subject": "x\r\nBcc: e@x.org", "text": "y"}},
            {("/content/subject", "invalid_header_value")},
        ),
        (TO | {"content": {"subject": "x\u2028y", "text": "y"}}, {("/content/subject", "invalid_header_value")}),
        (TO | {"content": {"subject": "x" * 999, "text": "y"}}, {("/content/subject", "too_long")}),
        (TO | {"content": {"subject": "x", "text": "y", "amp": "z"}}, {("/content/amp", "unknown_field")}),
        (TO | {"content": {"subject": "x", "text": ["y"]}}, {("/content/text", "invalid_type")}),
        (TO | {"content": "y"}, {("/content", "invalid_type")}),
    ],
)
async def test_what_is_neither_one_nor_the_other_is_refused(
    client: httpx2.AsyncClient, written: Written, body: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    """A request has either a template or complete content; faults have pointers."""
    assert faults(await client.post("/v1/notifications", json=body)) == expected
    assert await written() == NOTHING
